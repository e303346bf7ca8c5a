"""What can be taken out of the turns of one loop: before it what no carry acts upon, after it what only adds up or is only given out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from string import ascii_letters

from dsl.calculus.batching import Unbatchable, batched
from dsl.calculus.identities import rewritten
from dsl.nodes import Apply, Const, Input, Node, applies, apply, argument, const, made_of, of_sizes, substituted, topological, unused
from dsl.ops.contraction import einsum, is_turned, split_spec
from dsl.ops.core import add, is_number
from dsl.ops.loops import Loop, Turn
from dsl.ops.reduction import reduce
from dsl.ops.words import bare, plural, spoken
from dsl.types import Shape, product

# what spends most of its time on the way to LAPACK for one matrix of a few rows, and takes a stack of them
_CALLS = ("inv", "cholesky", "det", "slogdet")


def moved(made: Loop, used: Mapping[int, Node]) -> tuple[Node, dict[int, Node], dict[Node, str]]:
    """The loop with less in its turns, what stands for each of the parts of it that are ``used``, by their place, and what is to be called how."""
    work = _Work(made, used)
    _settle(work)
    if made.blocks is None:
        _group(work)
        _gather(work)
        _before(work)
        return _after(work)
    return _as_it_is(work)


def raised(made: Loop, used: Mapping[int, Node]) -> tuple[Node, dict[int, Node], dict[Node, str]]:
    """The same, where only what no carry acts upon is taken out of the turns."""
    work = _Work(made, used)
    if made.blocks is None:
        _before(work)
    return _as_it_is(work)


class _Work:
    """A loop on the way to another: its parts by the names that the turn has for them."""

    def __init__(self, made: Loop, used: Mapping[int, Node]) -> None:
        turn, n = made.turn, len(made.turn.carries)
        self.made, self.used, self.n = made, used, n
        self.initial: dict[Node, Node] = dict(zip(turn.carries, made.initial, strict=True))
        self.elements: dict[Node, Node] = dict(zip(turn.elements, made.sequences, strict=True))
        self.constants: dict[Node, Node] = dict(zip(turn.constants, made.constants, strict=True))
        self.nexts: dict[Node, Node] = dict(zip(turn.carries, turn.nexts, strict=True))
        self.outs = {j: node for j, node in enumerate(turn.outs) if 2 * n + j in used}
        self.notes = turn.notes
        self.called: dict[Node, str] = {}
        # the carries by their place, and the last value of those that are none any more
        self.places: dict[Node, int] = {carry: i for i, carry in enumerate(turn.carries)}
        self.ends: dict[int, Node] = {}

    @property
    def roots(self) -> list[Node]:
        return [*self.nexts.values(), *self.outs.values()]

    @property
    def varying(self) -> set[Node]:
        """What the carries act upon."""
        return made_of(self.initial, topological(self.roots))

    @property
    def trails(self) -> list[Node]:
        """The carries whose history is kept in any case."""
        return [each for each in self.nexts if self.n + self.places[each] in self.used]

    def replace(self, mapped: Mapping[Node, Node]) -> None:
        """Every node of the turn becomes another."""
        self.nexts = {carry: mapped[node] for carry, node in self.nexts.items()}
        self.outs = {place: mapped[node] for place, node in self.outs.items()}
        self.notes = self.notes.mapped(mapped, self.roots)

    def given(self, node: Node) -> Input:
        """What the turn is given in a node's place, under a name that nothing else has."""
        taken = {each.name for each in (*self.initial, *self.elements, *self.constants) if isinstance(each, Input)}
        name = unused(spoken(node, self.notes.called), taken)
        role = next(each.role for each in self.made.turn.given)
        return argument(name, role, node.type)

    def call(self, value: Node, node: Node, varies: bool = True) -> None:
        """What stands outside for a value of the turn has its name; where it ``varies``, it is that of every turn."""
        name = self.notes.called.get(node)
        if name is not None and not bare(name):
            self.called.setdefault(value, plural(name) if varies else name)

    def loop(self, carries: Sequence[Node], outs: Sequence[Node]) -> Loop:
        """The loop with these carries and outs, given what they read."""
        nexts = tuple(self.nexts[each] for each in carries)
        read = set(topological([*nexts, *outs]))
        elements = {each: value for each, value in self.elements.items() if each in read}
        constants = {each: value for each, value in self.constants.items() if each in read}
        given = [tuple(each for each in group if isinstance(each, Input)) for group in (carries, elements, constants)]
        turn = Turn(given[0], given[1], given[2], nexts, tuple(outs), self.notes.mapped({node: node for node in read}, (*nexts, *outs)))
        return self.made.again(turn, [self.initial[each] for each in carries], list(elements.values()), list(constants.values()))


def _settle(work: _Work) -> None:
    """A carry that never changes is a constant."""
    for i, (carry, start) in enumerate(list(work.initial.items())):
        node = work.nexts[carry]
        value = everywhere(node)
        same = node is carry or (value is not None and value is everywhere(start))
        if not same or work.n + i in work.used:
            continue
        new = start if isinstance(start, Const) else node
        if new is carry:
            new = work.given(carry)
            work.constants[new] = start
        work.ends[i] = start
        del work.initial[carry], work.nexts[carry]
        work.replace(substituted(work.roots, {carry: new}))


def everywhere(node: Node) -> Node | None:
    """The number that fills an array."""
    while isinstance(node, Apply) and node.op.name == "broadcast_to":
        node = node.args[0]
    return node if isinstance(node, Const) else None


def _as_it_is(work: _Work) -> tuple[Node, dict[int, Node], dict[Node, str]]:
    return _parts(work, work.loop(list(work.nexts), list(work.outs.values())), {})


# before the loop -----------------------------------------------------------------------------------------------------


def _before(work: _Work) -> None:
    """What no carry acts upon is computed for all turns, and becomes an element; what no element acts upon, a constant."""
    taken: dict[Node, Node] = {}
    for node in _still(work):
        outside = substituted([node], work.constants)[node]
        varies = not work.elements.keys().isdisjoint(topological([outside]))
        try:
            value = batched([outside], work.elements, (work.made.length,))[0] if varies else outside
        except Unbatchable:
            continue
        taken[node] = new = work.given(node)
        (work.elements if varies else work.constants)[new] = value
        work.call(value, node, varies)
    if taken:
        work.replace(substituted(work.roots, taken))


def _still(work: _Work) -> list[Node]:
    """The values that no carry acts upon and that are worth computing before the loop, the largest formulas first."""
    varying = work.varying
    stack = [*(arg for node in reversed(topological(work.roots)) if node in varying for arg in node.args), *work.roots]
    found: list[Node] = []
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node in varying or node in seen or not isinstance(node, Apply):
            continue
        seen.add(node)
        if _worth(work, node):
            found.append(node)
        else:
            stack += node.args
    return found


def _worth(work: _Work, node: Node) -> bool:
    """Whether a value is more than entries moved about, and not larger than what it is made of; a product may be. Matrices that are worked on
    entry by entry stay in the turn, and in the cache: there are as many of them as turns."""
    if not isinstance(node, Apply) or of_sizes(node) or node.op.nested or _only_moves(node):
        return False
    below = topological([node])
    elements = [each for each in below if each in work.elements]
    if not elements or _contracts(node):
        return True
    return (_small(node) or node.op.name in _CALLS) and any(_covers(each, node) for each in (*elements, *filter(_contracts, below)))


def _only_moves(node: Apply) -> bool:
    """Whether a node only moves entries, which costs nothing in the turn."""
    return node.op.view or node.op.name in ("part", "cast") or (node.op.name == "einsum" and len(node.args) == 1)


def _small(node: Node) -> bool:
    """Whether a value is a number or a vector, so that a turn spends its time on calls rather than on entries."""
    return node.type.shape is not None and len(node.type.shape) < 2


def _contracts(node: Node) -> bool:
    """Whether a node is a product that sums over an axis."""
    if not (isinstance(node, Apply) and node.op.name == "einsum" and len(node.args) > 1):
        return False
    labels, output = split_spec(str(node.attr("spec")))
    return not set("".join(labels)) <= set(output)


def _covers(large: Node, small: Node) -> bool:
    """Whether one array has at least the entries of another, as far as their sizes tell."""
    return _as_large({large.type.shape: 1}, small) > 0


def _as_large(shapes: Mapping[Shape | None, int], node: Node) -> int:
    """How many arrays, of so many of each shape, have at least the entries of one, as far as their sizes tell."""
    if node.type.shape is None:
        return 0
    own = product(node.type.shape)
    return sum(count for shape, count in shapes.items() if shape is not None and product(shape).divided(own) is not None)


Parts = Sequence[tuple[Node, int]]


def _group(work: _Work) -> None:
    """``x @ Wx + h @ Wh + b`` as ``(x @ Wx + b) + h @ Wh``: what can be added up before the loop stands together."""
    varying = work.varying

    def grouped(parts: Parts, mapped: Mapping[Node, Node]) -> Node | None:
        terms = [each for each, _ in parts]
        lead = next((each for each in terms if each not in varying and _small(each) and _worth(work, each)), None)
        mine = [each for each in terms if lead is not None and each not in varying and _covers(lead, each)]
        together = [_added([mapped[each] for each in mine])] if len(mine) > 1 else []
        return _added([*together, *(mapped[each] for each in terms if each not in mine)]) if together else None

    _put_together(work, {node for node in varying if applies(node, "add")}, grouped)


def _gather(work: _Work) -> None:
    """``a * h / b`` as ``a / b * h``: what is the same in every turn stands together in a product, and is multiplied before the loop."""
    changing = made_of([*work.initial, *work.elements], topological(work.roots))

    def gathered(parts: Parts, mapped: Mapping[Node, Node]) -> Node | None:
        if sum(isinstance(each, Apply) or each in work.constants for each, _ in parts if each not in changing) < 2:
            return None
        first, rest = ([(mapped[each], power) for each, power in parts if (each in changing) is last] for last in (False, True))
        return _multiplied([(_multiplied(first), 1), *rest])

    _put_together(work, {node for node in changing if node.type.dtype == "float" and applies(node, "multiply", "divide")}, gathered)


def _put_together(work: _Work, chains: Collection[Node], again: Callable[[Parts, Mapping[Node, Node]], Node | None]) -> None:
    """Sums or products put together again, each with those within it that nothing else reads, where ``again`` makes anything of their parts and of
    what these have become."""
    order = topological(work.roots)
    uses = Counter([*(arg for node in order for arg in node.args), *work.roots])
    inside = {arg for node in order if node in chains for arg in node.args if arg in chains and uses[arg] == 1}
    mapped: dict[Node, Node] = {}
    for node in order:
        args = tuple(mapped[arg] for arg in node.args)
        mapped[node] = apply(node.op, *args, **dict(node.attrs)) if isinstance(node, Apply) and args != node.args else node
        new = again(_parts_of(node, inside), mapped) if node in chains and node not in inside else None
        if new is not None and new.type.matches(node.type):
            mapped[node] = new
    work.replace(mapped)


def _parts_of(node: Node, inside: Collection[Node]) -> list[tuple[Node, int]]:
    """What a sum adds up, or a product multiplies and, with -1, divides by, in order, those within it taken apart."""
    found: list[tuple[Node, int]] = []
    stack = [(node, 1)]
    while stack:
        each, power = stack.pop()
        if each is node or each in inside:
            stack += [(each.args[1], -power if applies(each, "divide") else power), (each.args[0], power)]
        else:
            found.append((each, power))
    return found


def _multiplied(factors: Parts) -> Node:
    above, below = ([node for node, power in factors if power == sign] for sign in (1, -1))
    total = above[0] if above else const(1.0)
    for each in above[1:]:
        total = rewritten("multiply", total, each)
    for each in below:
        total = rewritten("divide", total, each)
    return total


def _added(terms: Sequence[Node]) -> Node:
    total = terms[0]
    for each in terms[1:]:
        total = add(total, each)
    return total


# after the loop ------------------------------------------------------------------------------------------------------


def _after(work: _Work) -> tuple[Node, dict[int, Node], dict[Node, str]]:
    """What only adds up, or is only given out, is computed for all turns from what the others give out."""
    sums = {carry: term for carry in work.nexts if (term := _summed(work, carry)) is not None}
    plan = _Plan(work, sums)
    carries = [each for each in work.nexts if each not in plan.sums]
    outs = list(dict.fromkeys([*plan.kept, *(node for place, node in work.outs.items() if place not in plan.outs)]))
    made = work.loop(carries, outs)
    rows = {node: made.out(i) for i, node in enumerate(outs)} | {each: made.before(carries.index(each)) for each in work.trails}
    found: dict[int, Node] = {}
    for carry in work.nexts:
        if carry in plan.sums and work.places[carry] in work.used:
            total = _total(work, sums[carry], rows)
            start = everywhere(work.initial[carry])
            found[work.places[carry]] = total if start is not None and is_number(start, 0) else add(work.initial[carry], total)
    for place in plan.outs:
        found[2 * work.n + place] = value = _later(work, work.outs[place], rows)
        work.call(value, work.outs[place])
    return _parts(work, made, found)


def _summed(work: _Work, carry: Node) -> Node | None:
    """What is added to a carry that is nothing but a sum, or with its sign what is taken away from it."""
    node = work.nexts[carry]
    if work.n + work.places[carry] in work.used or not isinstance(node, Apply) or carry not in node.args:
        return None
    if node.op.name == "add":
        term = node.args[1] if node.args[0] is carry else node.args[0]
    elif node.op.name == "subtract" and node.args[0] is carry:
        term = rewritten("negative", node.args[1])
    else:
        return None
    others = [*(each for other, each in work.nexts.items() if other is not carry), *work.outs.values(), term]
    return None if carry in topological(others) or not term.type.matches(carry.type) else term


def _parts(work: _Work, made: Loop, found: dict[int, Node]) -> tuple[Node, dict[int, Node], dict[Node, str]]:
    """The new loop's node, the parts of the old one, those that are ``found`` among them, and what is to be called how."""
    n, places = work.n, {work.places[carry]: i for i, carry in enumerate(made.turn.carries)}
    for place in work.used:
        if place in found:
            continue
        if place >= 2 * n:
            found[place] = made.out(made.turn.outs.index(work.outs[place - 2 * n]))
        elif place in work.ends:
            found[place] = work.ends[place]
        else:
            found[place] = made.last(places[place]) if place < n else made.trail(places[place % n])
    return made.node, found, work.called


class _Plan:
    """Which ``sums`` and ``outs`` are computed after a loop, and what its turns give out for these, ``kept``.

    A value that the carries need is computed in the turn, and can be given out. What a sum, or an out, makes of such values is computed afterwards
    where that saves a product in every turn, or a call for a small matrix, or costs nothing because these values are given out anyway. It does not
    where arrays would have to be kept of values as large as their sum, unless another of that size is, or as many are given.
    """

    def __init__(self, work: _Work, sums: Mapping[Node, Node]) -> None:
        self.work = work
        self.stay: dict[Node, None] = dict.fromkeys(node for carry, node in work.nexts.items() if carry not in sums)
        arrays = {value.args[0] if applies(value, "index") else value: each for each, value in work.elements.items()}
        self.given = Counter(each.type.shape for each in arrays.values())
        while True:
            self.core = {*work.nexts, *work.elements, *work.constants, *topological(self.stay)}
            self.kept: dict[Node, None] = dict.fromkeys(node for node in work.outs.values() if node in self.core and isinstance(node, Apply))
            self.anyway = Counter(node.type.shape for node in self.kept)
            self.more: Counter[Shape | None] = Counter()
            self.sums: set[Node] = set()
            self.outs: set[int] = set()
            for step in (self._saves, self._is_free, self._is_free):
                self.sums.update(carry for carry, term in sums.items() if carry not in self.sums and step(term, True))
                self.outs.update(place for place, node in work.outs.items() if place not in self.outs and step(node, False))
            more = [term for carry, term in sums.items() if carry not in self.sums]
            more += [node for place, node in work.outs.items() if place not in self.outs]
            if self.stay.keys() >= set(more):
                return
            self.stay.update(dict.fromkeys(more))

    def _region(self, root: Node) -> tuple[list[Node], list[Node]]:
        """What is not computed in the turn anyway, from the root down, and what it reads of the turn that no array holds yet."""
        region: dict[Node, None] = {}
        read: dict[Node, None] = {}
        stack = [root]
        while stack:
            node = stack.pop()
            if self._is_made(node) and not (is_turned(node) and node not in self.kept):
                if not (node in self.work.elements or node in self.work.constants or node in self.work.trails or node in self.kept or of_sizes(node)):
                    read[node] = None
            elif isinstance(node, Apply) and node not in region:
                region[node] = None
                stack += node.args
        return list(region), list(read)

    def _is_made(self, node: Node) -> bool:
        """Whether a value is computed in the turn anyway; of an operation of several results, its parts are."""
        return node in self.core or (applies(node, "part") and node.args[0] in self.core)

    def _saves(self, root: Node, summed: bool) -> bool:
        """Whether a product for all turns stands for one in every turn. What it reads is given out then."""
        region, read = self._region(root)
        worth = any(isinstance(node, Apply) and ((node.op.name == "einsum" and len(node.args) > 1) or node.op.name in _CALLS) for node in region)
        room = self._has_room(read, root) if summed else len(read) < 2
        if not (worth and room and self._batches(root)):
            return False
        self.more.update(node.type.shape for node in read if node not in self.kept)
        self.kept.update(dict.fromkeys(read))
        return True

    def _has_room(self, nodes: Sequence[Node], total: Node) -> bool:
        """Whether values may be kept of every turn: they are smaller than what is made of them, or than something that is kept in any case, or no
        more than what the turn is given of that size."""
        large = [node for node in nodes if _covers(node, total) and not _as_large(self.anyway, node)]
        return all(len(large) + _as_large(self.more, node) <= _as_large(self.given, node) for node in large)

    def _is_free(self, root: Node, summed: bool) -> bool:
        """Whether everything that a value is made of is given out."""
        region, read = self._region(root)
        cheap = len(region) < 2 or all(map(_small, region))
        return not read and cheap and (bool(region) or summed or not isinstance(root, Apply)) and self._batches(root)

    def _batches(self, root: Node) -> bool:
        work = self.work
        below = topological([root])
        several = {node.args[0] for node in below if applies(node, "part")}
        held = [node for node in below if self._is_made(node) and node not in work.constants and node not in several]
        rows = {node: argument(f"{i}", "row", type(node.type)(node.type.dtype, (work.made.length, *node.type.known))) for i, node in enumerate(held)}
        try:
            _later(work, root, rows)
        except Unbatchable:
            return False
        return True


def _opened(work: _Work, node: Node, rows: Mapping[Node, Node]) -> tuple[Node, dict[Node, Node]]:
    """A value of the turn by what stands outside: constants in it are theirs, and what has ``rows`` is a name for these."""
    names: dict[Node, Node] = {each: argument(f"{i}", "row", each.type) for i, each in enumerate(rows) if isinstance(each, Apply)}
    mapped = substituted([node], {**work.constants, **names})
    return mapped[node], {names.get(each, each): value for each, value in {**work.elements, **rows}.items()}


def _later(work: _Work, node: Node, rows: Mapping[Node, Node]) -> Node:
    """A value of the turn for all turns. Raises Unbatchable."""
    value, given = _opened(work, node, rows)
    return batched([value], given, (work.made.length,))[0]


def _total(work: _Work, term: Node, rows: Mapping[Node, Node]) -> Node:
    """The sum of a value over all turns."""
    if term not in rows and applies(term, "add", "subtract"):
        return rewritten(term.op.name, *(_total(work, each, rows) for each in term.args))
    value, given = _opened(work, term, rows)
    varies = [not given.keys().isdisjoint(topological([arg])) for arg in value.args]
    if isinstance(value, Apply) and value.op.name == "einsum" and any(varies):
        labels, output = split_spec(str(value.attr("spec")))
        lead = next(label for label in ascii_letters if label not in "".join(labels))
        args = [batched([arg], given, (work.made.length,))[0] if varied else arg for arg, varied in zip(value.args, varies, strict=True)]
        terms = [lead + each if varied else each for each, varied in zip(labels, varies, strict=True)]
        total = einsum(f"{','.join(terms)}->{output}", *args)
    elif isinstance(value, Apply) and value.op.name == "sum" and any(varies) and not value.attr("keepdims"):
        axes, rank = value.attr("axes"), len(value.args[0].type.known)
        assert isinstance(axes, tuple)
        total = reduce("sum", batched([value.args[0]], given, (work.made.length,))[0], (-rank - 1, *axes))
    else:
        total = reduce("sum", batched([value], given, (work.made.length,))[0], -len(term.type.known) - 1)
    return total


__all__ = ["everywhere", "moved", "raised"]
