"""Reverse mode: cotangents from the outputs of a graph back to its inputs, by each operation's own rule."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace

from dsl.calculus.identities import rewrite
from dsl.calculus.inverses import by_inverse, inverse_for, served
from dsl.calculus.polynomials import Origins, collected
from dsl.diagnostics import Code, Diagnostic, DslError
from dsl.nodes import Apply, Const, Input, Line, Node, Notes, applies, argument, const, of_sizes, put_on_line, rebuild, substituted, topological, unused
from dsl.ops.broadcasting import broadcast_to
from dsl.ops.contraction import is_turned
from dsl.ops.core import add
from dsl.ops.elementwise import Elementwise
from dsl.ops.factorisations import PART, unparted
from dsl.ops.loops import LOOP, Loop, Turn, as_loop
from dsl.ops.words import bare, is_infix, spoken, word
from dsl.rules import elementwise_cotangent
from dsl.types import ShapeError, TensorType, product

# so many sums and products are rather done again than kept, and an array of so many times the entries is kept in a part's place
AGAIN = 4


def pull_back(seeds: Sequence[tuple[Node, Node]], targets: Iterable[Node], lines: dict[Node, Line]) -> dict[Node, Node]:
    """The cotangent of every node between the seeds and the targets, from the seeds back. What the rule of a node makes stands on the
    node's line. Raises DslError for a node that has no derivative."""
    order = topological(node for node, _ in seeds)
    reaching = _reaching(order, targets)
    cotangents: dict[Node, Node] = {}
    for node, seed in seeds:
        cotangents[node] = add(cotangents[node], seed) if node in cotangents else seed
    simple: dict[Node, Node] = {node: node for node in order}
    origins = Origins()
    for node in reversed(order):
        g = cotangents.get(node)
        if g is None or node not in reaching or not isinstance(node, Apply):
            continue
        for arg, part in zip(node.args, _vjp(node, g, reaching, lines), strict=True):
            if part is None or arg not in reaching:
                continue
            total = add(cotangents[arg], part) if arg in cotangents else part
            cotangents[arg] = collected(rebuild([total], rewrite, simple)[total], origins)
            if node in lines:
                put_on_line(cotangents[arg], lines[node], lines)
    return {node: cotangents[node] for node in reversed(order) if node in cotangents}


def _reaching(order: Iterable[Node], targets: Iterable[Node]) -> set[Node]:
    """The nodes through which a target acts."""
    reaching = set(targets)
    for node in order:
        if isinstance(node, Apply) and node.type.dtype == "float" and node.op.name != "stop_gradient" and not reaching.isdisjoint(node.args):
            reaching.add(node)
    return reaching


def _vjp(node: Apply, g: Node, reaching: set[Node], lines: dict[Node, Line]) -> Sequence[Node | None]:
    """The cotangent of each argument that needs one."""
    op = node.op
    try:
        if isinstance(op, Elementwise):
            return [elementwise_cotangent(node, op, i, g) if arg in reaching else None for i, arg in enumerate(node.args)]
        if op is LOOP:
            return _loop_cotangents(as_loop(node), unparted(g), reaching)
        if op.vjp is None:
            raise ShapeError(Code.E0401, f"`{op.name}` has no derivative", help="put it inside `stop_gradient(…)`")
        return op.vjp(node, g)
    except ShapeError as problem:
        span = lines[node].span if node in lines else None
        raise DslError(Diagnostic(problem.code, problem.message, span, help=problem.help)) from None


def _loop_cotangents(made: Loop, parts: Mapping[int, Node], reaching: Container[Node]) -> list[Node | None]:
    """A loop the other way: each turn takes the carries' cotangents back through the forward turn, adds up those of the constants, and gives
    out those of the elements. What it needs of the forward turn, that turn gives out too (``passes/share.py`` makes the two loops one)."""
    back = _Backwards(made, parts)
    turn, n = made.turn, len(made.turn.carries)
    wanted = [*turn.carries, *(one for one, arg in zip(turn.elements + turn.constants, made.node.args[n:], strict=True) if arg in reaching)]
    wanted = [each for each in wanted if each.type.dtype == "float" and (each in back.cotangents or each not in turn.carries)]
    lines = dict(back.lines)
    found = pull_back(back.seeds, wanted, lines)
    carries = [each for each in turn.carries if each in back.cotangents]
    sums = {each: back.named(f"d{each.name}", each.type) for each in turn.constants if each in wanted and each in found}
    elements = [each for each in turn.elements if each in wanted and each in found]
    nexts = [back.carried(each, found) for each in carries] + [add(sums[each], found[each]) for each in sums]
    initial = [back.initial[each] for each in carries] + [broadcast_to(const(0.0), each.type.known) for each in sums]
    back.notes = back.told(found, lines)
    result = back.loop([*(back.cotangents[each] for each in carries), *sums.values()], nexts, [found[each] for each in elements], initial)
    cotangents: list[Node | None] = [result.last(carries.index(each)) if each in carries else None for each in turn.carries]
    cotangents += [result.out(elements.index(each)) if each in elements else None for each in turn.elements]
    return cotangents + [result.last(len(carries) + list(sums).index(each)) if each in sums else None for each in turn.constants]


def _is_view(node: Node) -> bool:
    """Whether a value is entries of another, moved about."""
    return is_turned(node) or (applies(node, "index", "reshape", "broadcast_to") and len(node.args) == 1)


def _is_light(node: Node, beside: Node) -> bool:
    """Whether an array has not many times the entries of another."""
    mine, other = product(node.type.known), product(beside.type.known)
    times = mine.divided(other)
    return other.divided(mine) is not None or (times is not None and (times.constant or AGAIN + 1) <= AGAIN)


def _needed(kept: Iterable[Node], order: Iterable[Node]) -> list[Node]:
    """Those of the values kept for backward that are not a few sums and products of the others, which it then does again."""
    wanted = dict.fromkeys(kept)
    for node in order:
        if node in wanted and _again(node, wanted):
            del wanted[node]
    return list(wanted)


def _again(node: Node, wanted: Container[Node]) -> bool:
    """Whether a value is cheap to make of what is given or kept."""
    steps, stack = 0, [node]
    while stack:
        each = stack.pop()
        if isinstance(each, Input) and not _is_light(each, node):
            return False
        if not isinstance(each, Apply) or of_sizes(each) or (each is not node and each in wanted):
            continue
        if not _is_view(each):
            steps += 1
            if steps > AGAIN or each.op.name not in ("add", "subtract", "multiply", "negative"):
                return False
        stack += each.args
    return True


def _acting(made: Loop, parts: Mapping[int, Node]) -> set[Node]:
    """The carries that act on what is wanted of a loop: the cotangents of others are zeros in all turns."""
    turn, n = made.turn, len(made.turn.carries)
    acting: set[Node] = {each for i, each in enumerate(turn.carries) if i in parts or n + i in parts}
    roots = [node for j, node in enumerate(turn.outs) if 2 * n + j in parts]
    while True:
        read = topological([*roots, *(node for each, node in zip(turn.carries, turn.nexts, strict=True) if each in acting)])
        more = acting | {each for each in read if each in turn.carries}
        if more == acting:
            return acting
        acting = more


class _Backwards:
    """What the turn of a derivative's loop is given: cotangents of the forward loop's parts, and values of its turns."""

    def __init__(self, made: Loop, parts: Mapping[int, Node]) -> None:
        self.made, turn, n = made, made.turn, len(made.turn.carries)
        self.role = f"{turn.given[0].role} cotangent"
        self.taken = {each.name for each in turn.given if each.role == self.role}
        acting = _acting(made, parts)
        self.cotangents = {each: self.named(f"d{each.name}", each.type) for each in turn.carries if each.type.dtype == "float" and each in acting}
        self.initial: dict[Node, Node] = {}
        self.elements: dict[Input, Node] = {}
        self.trails: dict[Node, Input] = {}
        self.after: dict[Node, Input] = {}
        self.called, self.lines = turn.notes.called, dict(turn.notes.lines)
        self.notes = Notes()
        for i, each in enumerate(turn.carries):
            if each in self.cotangents:
                self._take(i, each, parts.get(i), parts.get(n + i))
        self.seeds: list[tuple[Node, Node]] = []
        for each, node in zip(turn.carries, turn.nexts, strict=True):
            if each in self.cotangents:
                self.seeds.append((node, add(self.cotangents[each], self.after[each]) if each in self.after else self.cotangents[each]))
        for j, node in enumerate(turn.outs):
            if 2 * n + j in parts:
                self.seeds.append((node, self._element(f"d{spoken(node, self.called)}", node.type, parts[2 * n + j])))

    def _take(self, i: int, carry: Input, last: Node | None, trail: Node | None) -> None:
        """The cotangent of a carry at the end of the loop, and what its trail adds at every turn."""
        end = last
        if trail is not None and (after := self.made.put_after(trail)) is not None:
            self.after[carry] = self._element(f"d{carry.name}_after", carry.type, after)
        elif trail is not None:
            ends, turns = self.made.split(trail)
            end = ends if end is None else add(end, ends)
            self.trails[carry] = self._element(f"dtrail{i}", carry.type, turns)
        self.initial[carry] = broadcast_to(const(0.0), carry.type.known) if end is None else end

    def _element(self, name: str, type: TensorType, sequence: Node) -> Input:
        element = self.named(name, type)
        self.elements[element] = sequence
        return element

    def named(self, name: str, type: TensorType) -> Input:
        """Something that the turn is given. A value of the turn may be called as another, or as a cotangent of one: of one name and type, which a
        Jacobian may widen, they would be one node."""
        free = unused(name, self.taken)
        self.taken.add(free)
        return argument(free, self.role, type)

    def told(self, found: Mapping[Node, Node], lines: Mapping[Node, Line]) -> Notes:
        """Cotangents are called after their primals; that of what a carry becomes, which a sum with that of the carry given out may be, after this."""
        turn, notes = self.made.turn, self.made.turn.notes
        named = dict(notes.names)
        after = {node: f"{carry.name}_next" for carry, node in zip(turn.carries, turn.nexts, strict=True)}
        names = notes.names + tuple((found[each], f"d{named[each]}") for each in found if each in named)
        wishes = [(g, f"d{name}") for each, g in found.items() if (name := self._said(each, {**after, **self.called}, g))]
        wishes.sort(key=lambda pair: bare(pair[1]))
        # what is done again of the turn stands with what needs it
        mine = tuple((node, line) for node, line in lines.items() if node not in self.lines)
        return Notes(names, mine, notes.wishes + tuple(wishes))

    def _said(self, primal: Node, names: Mapping[Node, str], g: Node) -> str:
        """What a cotangent is called after, where that says more than how it is made."""
        known = primal in names or not isinstance(primal, Apply)
        name = spoken(primal, names) if known or not is_infix(primal) else word(primal)
        entry = isinstance(g, Apply) and g.op.name == "index"
        return "" if isinstance(primal, Const) or (bare(name) and entry and not known) else name

    def carried(self, carry: Node, found: Mapping[Node, Node]) -> Node:
        """The cotangent of a carry before the turn."""
        own = found.get(carry) or broadcast_to(const(0.0), carry.type.known)
        return add(own, self.trails[carry]) if carry in self.trails else own

    def loop(self, carries: Sequence[Input], nexts: Sequence[Node], outs: Sequence[Node], initial: Sequence[Node]) -> Loop:
        """The loop the other way, given of the forward turn what its own reads."""
        made, turn = self.made, self.made.turn
        # the turn of a loop in blocks is done again, nothing of it is kept; of a part of an array, the array is
        forward = set() if made.blocks else {node for node in topological(turn.made) if not (_is_view(node) and _is_light(node.args[0], node))}
        inverses = served(turn.made, topological([*nexts, *outs]), forward)
        if inverses:
            # an inverse that forward can solve by is made there, and here is all that there is to solve by
            forward |= inverses
            solved = rebuild([*nexts, *outs], lambda node: by_inverse(node, node.args) if node not in forward and inverse_for(node) in inverses else node)
            nexts, outs = [solved[node] for node in nexts], [solved[node] for node in outs]
            self.notes = self.notes.mapped(solved, [*nexts, *outs])
        order = topological([*nexts, *outs])
        # of an operation with several results its parts are kept
        forward.update(node for node in order if isinstance(node, Apply) and node.op is PART and node.args[0] in forward)
        read = dict.fromkeys(arg for node in order if node not in forward for arg in node.args)
        reads = (node for node in (*read, *nexts, *outs) if isinstance(node, Apply) and node in forward and not of_sizes(node))
        kept = _needed(reads, order)
        extra = [node for node in kept if node not in turn.nexts and node not in turn.outs]
        if extra:
            made = made.turning(replace(turn, outs=(*turn.outs, *extra)))
        values: dict[Node, Node] = {}
        for node in kept:
            sequence = made.after(turn.nexts.index(node)) if node in turn.nexts else made.out(made.turn.outs.index(node))
            values[node] = self._element(spoken(node, self.called), node.type, sequence)
        mapped = substituted([*nexts, *outs], values)
        nexts, outs = [mapped[node] for node in nexts], [mapped[node] for node in outs]
        left = set(topological([*nexts, *outs]))
        for i, each in enumerate(turn.carries):
            if each in left:
                self.elements[each] = made.before(i)
        self.elements.update((each, sequence) for each, sequence in zip(turn.elements, made.sequences, strict=True) if each in left)
        constants = [(each, value) for each, value in zip(turn.constants, made.constants, strict=True) if each in left]
        given = {each: sequence for each, sequence in self.elements.items() if each in left}
        notes = self.notes.mapped(mapped, (*nexts, *outs))
        new = Turn(tuple(carries), tuple(given), tuple(each for each, _ in constants), tuple(nexts), tuple(outs), notes)
        return made.again(new, initial, list(given.values()), [value for _, value in constants], not made.backwards)
