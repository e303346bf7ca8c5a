"""A walk over rows as a function of a block, whose statements are those of all rows: names, comments and all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain

from dsl.calculus.apart import usual
from dsl.calculus.pieces import Pieces, added_by, begun, corner, first_row, overlap
from dsl.calculus.rows import JOINED
from dsl.emit.body import accumulated, live
from dsl.emit.guard import guarded, indented
from dsl.emit.reuse import Frugal
from dsl.nodes import Apply, Input, Node, Walk, applies, is_view, of_sizes, topological
from dsl.ops.indexing import items_text
from dsl.types import ONE, ZERO, Dim, product

_ARITHMETIC = ("add", "subtract", "multiply", "divide", "negative", "where", "equal")


class InWalks:
    """A function's nodes, those of the walks as their blocks. Before anything is printed, what blocks read gets a name."""

    def __init__(self, body: Frugal, order: Sequence[Node], walks: Sequence[Walk]) -> None:
        sizes = [node for node in topological(chain(*map(_roots, walks))) if of_sizes(node)]
        self.body, self.walks, self.order = body, walks, list(dict.fromkeys([*sizes, *order]))
        self.steps = [_steps(walk, self.order) for walk in walks]
        self.inside = {*chain(*self.steps), *(node for walk in walks for node, _ in walk.totals), *chain(*map(_added, walks))}
        self._name()

    def _name(self) -> None:
        body = self.body
        given = [node for walk in self.walks for node in walk.sequences if node not in self.inside]
        cut = {node for node in given if node not in body.program.names and (applies(node, "renamed") or (corner(node) and not is_view(node.args[0])))}
        body.whole |= cut | {of.base for walk in self.walks for _, of in added_by(walk) if of.base is not None}
        body.keep |= {node.args[0] if node in cut else node for node in given}
        body.keep |= _read_dearly((arg for mine in self.steps for node in mine for arg in node.args), self.inside)

    def emit(self, workers: str) -> None:
        """Print them."""
        body, done = self.body, set[Node]()
        for walk, steps in zip(self.walks, self.steps, strict=True):
            ready = _ready(self.order, self.inside, done)
            body.emit(node for node in self.order if node in ready)
            _Block(body, walk, steps, self.order).emit(workers)
            done |= {node for node, _ in walk.totals} | {*walk.kept, *walk.added}
        body.emit(node for node in self.order if node not in self.inside)


def _roots(walk: Walk) -> list[Node]:
    """What is computed of a block: what it gives, and what it adds to slices."""
    return [*walk.given, *_for_slices(walk)]


def _for_slices(walk: Walk) -> list[Node]:
    """What a block adds to slices."""
    return [piece.args[0] for _, of in added_by(walk) for _, piece in of.terms]


def _added(walk: Walk) -> list[Node]:
    """The steps from what is added to slices to the sums of these."""
    return [each for node, of in added_by(walk) for each in topological([node], of.below)]


def _ready(order: Iterable[Node], inside: set[Node], done: set[Node]) -> set[Node]:
    """The nodes that can be computed at all rows once, from what is done."""
    ready: set[Node] = set()
    for node in order:
        if node not in inside and all(arg in ready or arg in done for arg in node.args):
            ready.add(node)
    return ready


def _read_dearly(args: Iterable[Node], inside: Container[Node]) -> set[Node]:
    """What blocks had better read than compute again, of what is outside: arrays that are not merely seen otherwise, and numbers that take more
    than arithmetic with others."""
    found: set[Node] = set()
    seen: set[Node] = set()
    waiting = [arg for arg in args if arg not in inside]
    while waiting:
        node = waiting.pop()
        if node in seen or not isinstance(node, Apply) or of_sizes(node):
            continue
        seen.add(node)
        if node.op.view or (node.op.name in _ARITHMETIC and node.type.shape == ()):
            waiting += node.args
        else:
            found.add(node)
    return found


def _steps(walk: Walk, order: Iterable[Node]) -> list[Node]:
    """What is computed of a block: from its results down to the sequences, and to what the function computes without rows."""
    known = {*walk.sequences, *(node for node in order if not _has_rows(node, walk.dim))}
    return topological(_roots(walk), known - set(_roots(walk)))


def _has_rows(node: Node, dim: Dim) -> bool:
    return dim in (node.type.shape or ())


def _axis(node: Node, dim: Dim) -> int:
    """The axis along which a node has rows, counted from the left."""
    return node.type.known.index(dim)


def _head(first: Apply | None, dim: Dim) -> str | None:
    """The index of the rows before those that are written anew, where these are all others; empty where there are none before."""
    if first is None:
        return None
    rows = first.args[0].type.known
    axis = rows.index(dim)
    start = first_row(first, dim)
    if start is None or first.type.known != (*rows[:axis], dim + start, *rows[axis + 1 :]):
        return None
    return f"{':, ' * axis}:{start}" if start else ""


# what makes a named value of a sum over rows without changing what it stands for
_SUMS = ("add", "subtract", "negative")


class _Block:
    """Prints one walk into the function that has it."""

    def __init__(self, outer: Frugal, walk: Walk, steps: Sequence[Node], order: Sequence[Node]) -> None:
        self.outer, self.walk, self.steps, self.order = outer, walk, steps, order

    def emit(self, workers: str) -> None:
        outer, walk, sums = self.outer, self.walk, added_by(self.walk)
        targets = [*(self._target(node, part) for node, part in walk.totals), *(self._array(node) for node in walk.kept)]
        for node, of in sums:
            outer.begin(node, of.base, _head(begun(of, walk.dim), walk.dim))
        name = outer.names.fresh("block")
        taken, chosen = set(outer.names.taken), dict(outer.names.chosen)
        inner = _Inner(outer, walk, self.steps)
        parts = [inner.of_sequence(node) for node in walk.sequences]
        wholes = {piece: node for node, of in sums for _, piece in of.terms}
        first = {piece: wholes[piece] for _, of in sums if (piece := begun(of, walk.dim)) is not None}
        # those that are written anew stand last
        wholes = {piece: node for piece, node in wholes.items() if piece not in first} | first
        slices = {piece: inner.of_slice(piece, node) for piece, node in wholes.items()}
        inner.emit(self.steps)
        for _, of in sums:
            inner.add(of, slices)
        counted = [f"{inner.count} = {parts[0]}.shape[{_axis(walk.sequences[0], walk.dim)}]"] if inner.counted else []
        floats = [part for part, node in zip(parts, walk.sequences, strict=True) if isinstance(node, Input) and node.type.dtype == "float"]
        counted += in_double(floats) if outer.program.way and outer.program.way.double else []
        lines = inner.reused(f"return {_listed([inner.texts[node].text for node in walk.given]) or '()'}")
        lines = guarded(live([*counted, *lines]), inner.raising, outer.program)
        outer.needs_dtype = outer.needs_dtype or inner.needs_dtype
        outer.overwrites = outer.overwrites or inner.overwrites
        # what a block calls its own values may be called so again below
        outer.names.taken, outer.names.chosen = taken, chosen
        outer.names.counts.clear()
        taken_by_block = ", ".join(f"{part}: Any" for part in (*parts, *slices.values()))
        block = "\n".join([f"def {name}({taken_by_block}) -> Any:", *map(indented, lines)])
        given = [outer.texts[node].text for node in walk.sequences]
        given += [f"{outer.texts[node].text}[{items_text(piece, (), outer)}]" for piece, node in wholes.items()]
        reach = overlap(walk)
        shared = "1" if reach is None else workers
        seams = f", overlap={reach}, anew={len(first)}" if reach else ""
        call = f"_in_blocks({name}, ({_listed(given)}), {outer.dim(walk.dim)}, {self._bytes(inner.buffers.values())}, {shared}{self._joined()}{seams})"
        outer.lines += [block, f"{_listed(targets)} = {call}" if targets else call]
        for node, target in zip((*(node for node, _ in walk.totals), *walk.kept), targets, strict=True):
            outer.bind(node, target)

    def _target(self, node: Node, part: Node) -> str:
        """The name of a sum over all rows, and of what a block gives to it: its own, or that of the step which it is needed for."""
        outer = self.outer
        if node not in outer.names.chosen:
            known = {*outer.program.adjoints, *outer.program.names}
            terms = (each for each in self.order if each in known and node in each.args and isinstance(each, Apply) and each.op.name in _SUMS)
            user = node if node in known else next(terms, None)
            wish = "total" if user is None else outer.program.names.get(user) or outer.wish(user)
            outer.names.give(node, wish if user is node else f"{wish}_sum" if user else wish)
        outer.names.chosen[part] = outer.names.chosen[node]
        return outer.names.chosen[node]

    def _joined(self) -> str:
        """How the blocks' results become one, where it is not by adding each, and which axes have the rows, where these are not the first."""
        ways = [JOINED.get(node.op.name, "np.add") if isinstance(node, Apply) else "np.add" for node, _ in self.walk.totals]
        taken = (*self.walk.sequences, *_for_slices(self.walk))
        given, made = ([_axis(node, self.walk.dim) for node in nodes] for nodes in (taken, self.walk.kept))
        join = f", join=({_listed(ways)})" if set(ways) - {"np.add"} else ""
        axes = f", axes=({_listed(list(map(str, given)))})" if any(given) else ""
        return join + axes + (f", kept=({_listed(list(map(str, made)))})" if made else "")

    def _array(self, node: Node) -> str:
        """The name of an array that is made row by row."""
        return self.outer.names.chosen.get(node) or self.outer.names.give(node, self.outer.wish(node))

    def _bytes(self, made: Iterable[Node]) -> str:
        """How many bytes a row takes in what a block is given and in the arrays that it makes."""
        rows = [node for node in (*self.walk.sequences, *made) if _has_rows(node, self.walk.dim)]
        sizes = (product(tuple(dim for dim in node.type.known if dim != self.walk.dim)) for node in rows)
        row = usual(sum(sizes, ZERO))
        if row.constant is not None:
            return str(8 * row.constant)
        self.outer.dim(row)
        return f"8 * {row.text(2)}"


def in_double(names: Sequence[str]) -> list[str]:
    """The statement by which arrays of float32 become float64."""
    listed = ", ".join(names)
    return [f"{listed} = " + (f"{listed}.astype(np.float64, copy=False)" if len(names) == 1 else f"_in_double({listed})")] if names else []


def _listed(texts: Sequence[str]) -> str:
    """What Python reads as a tuple of these."""
    return ", ".join(texts) + ("," if len(texts) == 1 else "")


class _Inner(Frugal):
    """The body of a block: the rows' dimension is the block's, and what is outside has the names that it has there."""

    def __init__(self, outer: Frugal, walk: Walk, steps: Sequence[Node]) -> None:
        uses = Counter([*(arg for node in steps for arg in node.args), *_for_slices(walk)])
        super().__init__(outer.program, outer.names, uses, {*(part for _, part in walk.totals)})
        self.texts, self.sizes, self.walk, self.outer = dict(outer.texts), outer.sizes, walk, outer
        self.keep |= {*walk.kept}
        self.counted, self.count = False, outer.names.fresh("n_rows")

    def dim(self, dim: Dim) -> str:
        """A dimension of an array in the block. One that counts rows, times others maybe, counts the block's."""
        times = dim.divided(self.walk.dim)
        if times is None or not times.terms:
            return super().dim(dim)
        self.counted = True
        super().dim(times)
        return self.count if times == ONE else f"{self.count} * {times.text(2)}"

    def of_sequence(self, node: Node) -> str:
        """The name of a block's part of an array."""
        cut = node in self.outer.whole and isinstance(node, Apply)
        name = self.of_slice(node, node.args[0]) if cut else self.names.fresh(f"{self.texts[node].text}_rows")
        self.bind(node, name)
        return name

    def of_slice(self, piece: Node, whole: Node) -> str:
        """The name of a block's part of a slice of an array, or of what is added to that: it says where the slice begins, where that is a number."""
        places = "_".join(map(str, corner(piece)))
        return self.names.fresh(f"{self.outer.texts[whole].text}_{f'from_{places}' if places else 'rows'}")

    def add(self, of: Pieces, called: Mapping[Apply, str]) -> None:
        """Add the pieces of a sum where they belong, the one first that need not be added to anything."""
        first = begun(of, self.walk.dim)
        for sign, piece in sorted(of.terms, key=lambda each: each[1] is not first):
            g = piece.args[0]
            assert isinstance(g, Apply)
            self._line(g, self.fill(g, called[piece], self.texts[g].text) if piece is first else accumulated(called[piece], sign, self.texts[g]))


__all__ = ["InWalks", "in_double"]
