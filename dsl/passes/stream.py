"""The batch in blocks: which dimension ``value_and_grad`` walks along, what each walk adds up and what it writes row by row.

Before: the value and the gradients as one graph. After: the same graph, and ``walks`` that compute the part of it that has rows a block at a
time, so that what lies between the inputs and the results stays in the cache. Where something must be known of all rows before the rest can
go on, as a batch's mean must, one walk follows another: what was dear to compute is kept for it, the rest is computed again. Where rows are cut out of
longer arrays, as neighbours are, the blocks add the gradient of each cut where it belongs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dsl.calculus.apart import apart, usual
from dsl.calculus.owned import owns
from dsl.calculus.pieces import Pieces, slices_of
from dsl.calculus.rows import added_up, axis_of_rows, counts, keeps_rows
from dsl.nodes import Apply, Input, Node, Program, Walk, applies, fused_only, topological, with_fused
from dsl.ops.contraction import is_turned
from dsl.ops.core import is_number
from dsl.ops.factorisations import with_parts
from dsl.types import Dim

# so many steps between the inputs and the results must stay within a block for it to be worth its while
LEAST_GAIN = 2
# a walk more is worth so many steps
ANOTHER_WALK = 2
# so many steps are worth less than rows that lie together in memory, as those along a first axis do
TOGETHER = 2
# a dimension that is said to be smaller is never taken in blocks
LEAST_ROWS = 1024
# so many dimensions are tried, for each takes a look at the whole program
MOST_DIMENSIONS = 8
# what is rather computed again than kept for another walk
_CHEAP = ("arange", "cast", "add", "subtract", "multiply", "divide", "negative", "where", "maximum", "minimum", "abs", "sum", "mean")


def stream(program: Program) -> Program:
    """The program with the walks of the dimension that leaves the most in the cache, where the user does not hint at another."""
    if not program.fused or any(isinstance(node, Apply) and node.op.nested for node in topological(_roots(program))):
        # the turns of a loop take all rows at once, and beside them nothing else takes long
        return program
    plans = list(_plans(program))
    best = max(plans, key=lambda each: (_hint(program, each[0].dim), each[0].gain + TOGETHER * each[0].first), default=None)
    return program if best is None else replace(best[1], walks=tuple(best[0].walks()))


def _plans(program: Program) -> Iterator[tuple[_Plan, Program]]:
    """The plans that are worth their while, each with the program that it is for: one in which rows that stand beside rows have a dimension of their
    own, where there are such."""
    cut, only = _cut(program), fused_only(program)
    for dim in _dimensions(program):
        told, rows = apart(only, dim) or (None, dim)
        # a program may have them already
        if told is not only and (plan := _planned(program, dim, cut)):
            yield plan, program
        if told is not None and (plan := _planned_apart(other := with_fused(program, told), rows, dim)):
            yield plan, other


def _dimensions(program: Program) -> list[Dim]:
    """The dimensions that may be walked along, those of the data and of parts cut out of it, without any that is said to be small."""
    nodes = topological(_roots(program))
    data = _data(program, nodes)
    # what is learnt of each entry of the data, as an image under noise, has its neighbours too
    alike = [node for node in nodes if isinstance(node, Input) and node.type.shape in [each.type.shape for each in data]]
    shapes = [node.type.shape or () for node in nodes if node in data or _is_cut(node, alike)]
    found = (dim for shape in shapes for dim in shape)
    dims = [dim for dim in dict.fromkeys(found) if dim.constant is None and (not (size := _hint(program, dim)) or size >= LEAST_ROWS)]
    return sorted(dims, key=lambda dim: -_hint(program, dim))[:MOST_DIMENSIONS]


def _hint(program: Program, dim: Dim) -> int:
    """The usual size of a dimension, as the user hints at it; 0 where there is no hint."""
    hints = dict(program.hints)
    return max((hints.get(symbol.name, 0) for symbol in usual(dim).symbols()), default=0)


def _data(program: Program, nodes: Iterable[Node]) -> list[Input]:
    """The arguments that no gradient is taken of; where there is none, the first."""
    inputs = [node for node in nodes if isinstance(node, Input) and node.type.shape]
    return [node for node in inputs if node.name not in program.wrt] or inputs[:1]


def _is_cut(node: Node, data: Container[Node]) -> bool:
    return isinstance(node, Apply) and node.op.name == "index" and len(node.args) == 1 and node.args[0] in data


def _cut(program: Program) -> dict[Node, Pieces]:
    """The sums of slices, one or several, that nothing reads a part of: gradients of what rows are cut out of. What is added up with an array that is
    made for it alone comes before the part of it that is not."""
    order = topological(_roots(program))
    if not any(applies(node, "scatter") for node in order):
        return {}
    uses = Counter([*(arg for node in order for arg in node.args), *_roots(program)])
    sums = {node: of for node in reversed(order) if applies(node, "add", "subtract", "scatter") and (of := slices_of(node))}
    sums = {node: of for node, of in sums.items() if all(uses[each] == 1 for each in topological([node], of.below) if each is not node)}
    return {node: of for node, of in sums.items() if of.base is None or (owns(of.base) and uses[of.base] == 1)}


def _roots(program: Program) -> list[Node]:
    return [node for _, node in program.fused]


@dataclass
class _Plan:
    """When each node is there: ``when`` is 2k for what is known before walk k, 2k + 1 for what has rows and is made in walk k. What is ``asked`` of
    all rows, before anything else is done, is known then."""

    dim: Dim
    roots: list[Node]
    places: set[Node]
    asked: set[Node]
    cut: Mapping[Node, Pieces]
    # the dimension that the rows stand beside, if it is by another name their own
    columns: Dim | None = None
    order: list[Node] = field(init=False)
    when: dict[Node, int] = field(default_factory=dict)
    parts: dict[Node, Node] = field(default_factory=dict)
    kept: dict[Node, None] = field(default_factory=dict)
    # the sums of slices that blocks add to, with the pieces of each
    added: dict[Node, Pieces] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order = topological(self.roots)
        for node in self.order:
            self.when[node] = self._time(node) if isinstance(node, Apply) else 0
        for node, of in self.cut.items():
            self._add(node, of)
        if self.columns is not None:
            self._leave()
        self._keep()

    def _add(self, node: Node, of: Pieces) -> None:
        """Let the blocks add to a sum of slices, if they make what stands in all of these in one walk, and the rest is known before."""
        pieces = [piece for _, piece in of.terms]
        walks = {self.when[piece.args[0]] for piece in pieces}
        ready = of.base is None or (not self._inside(of.base) and self.when[of.base] < min(walks))
        if len(walks) == 1 and min(walks) % 2 and ready and self._placed().isdisjoint(pieces) and not any(map(self._inside, (node, *pieces))):
            self.added[node] = of

    def _placed(self) -> set[Apply]:
        return {piece for of in self.added.values() for _, piece in of.terms}

    def _time(self, node: Apply) -> int:
        walk = max((self.when[arg] // 2 for arg in node.args), default=0)
        after = max((self.when[arg] + self.when[arg] % 2 for arg in node.args), default=0)
        if node.op.nested or node in self.asked or any(arg.type.shape is None for arg in node.args):
            return after
        try:
            own = axis_of_rows(node, self.dim)
            axes = {arg: axis for arg in node.args if (axis := axis_of_rows(arg, self.dim)) is not None}
        except ValueError:
            return after
        if own is not None and (node in self.places or (_made_of_rows(node, axes) and keeps_rows(node, axes, self.dim, self.places))):
            return 2 * walk + 1
        if own is None and axes and (part := added_up(node, axes)) is not None:
            self.parts[node] = part
            return 2 * walk + 2
        return after

    def _keep(self) -> None:
        """What must be written row by row: results, what is needed of all rows at once, and what another walk needs and is dear."""
        kept = {node for node in self.roots if self._inside(node)}
        placed = self._placed()
        for node in (node for node in self.order if node not in placed):
            walk = (self.when[node] - (node in self.parts)) // 2
            for arg in (arg for arg in node.args if self._inside(arg) and arg not in self.places):
                if not self._inside(node) and node not in self.parts:
                    kept.add(arg)
                elif walk > self.when[arg] // 2:
                    dear = self._dear(arg)
                    small = len(dear) < 2 and all(len(each.type.known) <= len(arg.type.known) for each in dear)
                    kept |= dear if small else {arg}
        self.kept = dict.fromkeys(node for node in self.order if node in kept)

    def _dear(self, node: Node) -> set[Node]:
        """What must be kept of the rows for a node to be quickly computed again."""
        stack, dear = [node], set[Node]()
        while stack:
            each = stack.pop()
            if self._inside(each) and isinstance(each, Apply):
                if each.op.view or each.op.name in _CHEAP or is_turned(each) or (each.op.name == "power" and is_number(each.args[1], 2)):
                    stack += each.args
                else:
                    dear.add(each)
        return dear

    def _inside(self, node: Node) -> bool:
        return self.when.get(node, 1) % 2 == 1

    @property
    def sound(self) -> bool:
        """Whether the rows that index arrays count are only counted where the rows are."""
        users = [node for node in self.order if not self.places.isdisjoint(node.args) and node not in self.places]
        return all(isinstance(node, Apply) and node.op.name in ("index", "scatter") and self._inside(node) for node in users)

    @property
    def gain(self) -> int:
        """How many steps on the way stay within a block, of which there must be some, and sums beyond the first, less those that take all rows at
        once, what must be kept for them, and the calls of more walks than one."""
        steps = [node for node in self.order if _takes_time(node)]
        passing = sum(self._inside(node) and node not in self.kept for node in steps)
        # the steps from pieces to their sum are done to a block's rows
        added = {each for node, of in self.added.items() for each in topological([node], of.below)}
        passing += len(added - self.added.keys())
        alone = sum(len(of.terms) == 1 for of in self.added.values())
        others = alone + sum(not self._inside(node) and node not in added and self._is_large(node) for node in steps)
        if not (self.parts and passing):
            return 0
        walks = {self.when[node] for node in steps if self._inside(node)}
        return passing + len(self.parts) - 1 - others - 2 * len(self.kept.keys() - set(self.roots)) - ANOTHER_WALK * (len(walks) - 1)

    @property
    def beside(self) -> set[Dim]:
        """The dimensions that rows have, so that a sum over rows with one of these need not be larger than what it is of."""
        return {dim for node in self.order if self._inside(node) and isinstance(node, Apply) for dim in node.type.known}

    @property
    def squares(self) -> list[Node]:
        """The arrays of rows beside rows that are computed."""
        return [node for node in self.order if _takes_time(node) and self._is_square(node)]

    @property
    def busy(self) -> set[int]:
        """When blocks of rows beside rows are taken: in which walks."""
        return {self.when[node] for node in self.squares if self._inside(node)}

    @property
    def spares(self) -> bool:
        """Whether more arrays of rows beside rows stay within blocks than do not."""
        return 2 * sum(self._inside(node) and node not in self.kept for node in self.squares) >= len(self.squares) + LEAST_GAIN

    def _is_square(self, node: Node) -> bool:
        return {self.dim, self.columns} <= {*(node.type.shape or ())}

    def _leave(self) -> None:
        """Of rows that stand beside others only walks take blocks in which some do: what is left is small."""
        busy = self.busy
        for node in self.order:
            if self._inside(node) and self.when[node] not in busy:
                self.when[node] -= 1
        self.parts = {node: part for node, part in self.parts.items() if self.when[node] - 1 in busy}

    @property
    def first(self) -> bool:
        """Whether all rows that are read are along a first axis."""
        return all(node.type.known[0] == self.dim for walk in self.walks() for node in walk.sequences)

    def _is_large(self, node: Node) -> bool:
        """Whether a node has about as many entries as there are rows."""
        symbols = {*self.dim.symbols()}
        return any(not symbols.isdisjoint(dim.symbols()) for dim in node.type.shape or ())

    @property
    def reads(self) -> bool:
        """Whether every walk reads rows of something: what is the same in all rows has none to be counted by."""
        return all(walk.sequences for walk in self.walks())

    def walks(self) -> Iterator[Walk]:
        """The walks, in order."""
        for k in range(max(self.when.values()) // 2 + 1):
            totals = tuple((node, part) for node, part in self.parts.items() if self.when[node] == 2 * k + 2)
            kept = tuple(node for node in self.kept if self.when[node] == 2 * k + 1)
            added = {node: of for node, of in self.added.items() if self.when[node] == 2 * k + 2}
            put = (piece.args[0] for of in added.values() for _, piece in of.terms)
            sequences = self._sequences(k, [*(part for _, part in totals), *kept, *put])
            if totals or kept or added:
                yield Walk(self.dim, sequences, totals, kept, tuple(added))

    def _sequences(self, k: int, roots: Iterable[Node]) -> tuple[Node, ...]:
        """The arrays whose rows a walk reads."""
        outside = {node for node in self.order if not self._inside(node) or (node in self.kept and self.when[node] < 2 * k)}
        read = dict.fromkeys(arg for node in topological(roots, outside - set(roots)) for arg in node.args if arg in outside)
        return tuple(node for node in read if axis_of_rows(node, self.dim) is not None)


def _takes_time(node: Node) -> bool:
    """Whether a node is more than entries seen otherwise, or counted."""
    return isinstance(node, Apply) and not (node.op.view or node.op.name in ("arange", "cast"))


def _made_of_rows(node: Apply, axes: dict[Node, int]) -> bool:
    """Whether a node has anything of the rows: arguments, or an entry that all rows share."""
    return bool(axes) or node.op.name == "broadcast_to"


def _planned(program: Program, dim: Dim, cut: Mapping[Node, Pieces]) -> _Plan | None:
    """The plan for a dimension, if it is worth its while: a sum over what is no batch, as over features, may well be larger than its terms."""
    plan = _plan(program, dim, cut)
    batches = _batches(program, plan.order)
    others = batches - {dim} - (plan.beside if dim in batches else set())
    large = any(each in others for node in plan.parts for each in node.type.shape or ())
    pays = plan.gain >= LEAST_GAIN and plan.reads and (plan.first or not plan.added)
    return plan if pays and (not large or _hint(program, dim)) else None


def _planned_apart(program: Program, rows: Dim, columns: Dim) -> _Plan | None:
    """The plan for rows that stand beside as many columns, if it is worth its while. What several walks need of these is kept for all of them or made
    again, which pays only where there is no room for more."""
    plan = _plan(program, rows, {}, columns)
    return plan if plan.parts and plan.spares and plan.reads and (len(plan.busy) == 1 or _hint(program, columns)) else None


def _plan(program: Program, dim: Dim, cut: Mapping[Node, Pieces], columns: Dim | None = None) -> _Plan:
    roots = _roots(program)
    asked = set(with_parts(topological(program.guards), topological(roots)))
    plan = _Plan(dim, roots, {node for node in topological(roots) if counts(node, dim)}, asked, cut, columns)
    return plan if plan.sound else _Plan(dim, roots, set(), asked, cut, columns)


def _batches(program: Program, nodes: Iterable[Node]) -> set[Dim]:
    """The dimensions along which the data have rows. An array of the shape of what is learnt, as a prior mean or a reference, has none, where others
    have."""
    learnt = {each.node.type.shape for each in program.arguments if each.node.name in program.wrt}
    shapes = [node.type.shape for node in _data(program, nodes) if node.type.shape]
    return {shape[0] for shape in [each for each in shapes if each not in learnt] or shapes}


__all__ = ["stream"]
