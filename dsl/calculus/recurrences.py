"""Loops that do nothing to what they carry but scale it and add to it, as ``v = omega + alpha * x[t] + beta * v``: what all of the turns carry is
one operation then, whose turns need not wait for each other, and the rest of a turn is computed for all of them at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dsl.calculus.batching import Unbatchable, batched
from dsl.calculus.identities import rewritten
from dsl.calculus.turns import everywhere
from dsl.nodes import Apply, Input, Node, apply, argument, const, made_of, substituted, topological
from dsl.ops.along import RECURRENCE, running_sum
from dsl.ops.broadcasting import broadcast_to
from dsl.ops.core import add, is_number
from dsl.ops.elementwise import cast
from dsl.ops.loops import Loop
from dsl.ops.reduction import reduce
from dsl.ops.shaping import concatenate, reshape
from dsl.ops.words import plural
from dsl.types import ONE

Recurring = tuple[dict[int, Node], dict[Node, str]]


def as_recurrences(made: Loop, used: Collection[int]) -> Recurring | None:
    """What stands for each of the parts of a loop that are ``used``, by their place, and what the recurrences are to be called; None for a loop that
    does more, or whose turns work on more than numbers and vectors."""
    turn = made.turn
    if made.blocks is not None or not turn.carries or not _is_small(made):
        return None
    try:
        return _through_an_out(made, used) or _by_carry(made, used)
    except Unbatchable:
        return None


def _is_small(made: Loop) -> bool:
    """Whether a turn spends its time on calls rather than on entries."""
    turn = made.turn
    varying = made_of((*turn.carries, *turn.elements), topological(turn.made))
    return all(len(node.type.known) < 2 and not (isinstance(node, Apply) and node.op.nested) for node in varying if node.type.shape is not None)


def _by_carry(made: Loop, used: Collection[int]) -> Recurring | None:
    """Every carry by itself, those first that others read."""
    turn, n = made.turn, len(made.turn.carries)
    rows = _Rows(made)
    trails: dict[int, Node] = {}
    while len(trails) < n:
        left = [i for i in range(n) if i not in trails]
        for i in left:
            others = {turn.carries[j] for j in left if j != i}
            after, carry = turn.nexts[i], turn.carries[i]
            trail = None if others & set(topological([after])) else rows.trail(after, made.initial[i], carry)
            if trail is not None:
                trails[i] = trail
                rows.know(carry, made.given_of(trail))
                rows.know(after, _left(made, trail))
                break
        else:
            return None
    found: dict[int, Node] = {}
    for place in used:
        if place < 2 * n:
            found[place] = trails[place % n] if place >= n else _last(made, trails[place])
        else:
            found[place] = rows.for_all(turn.outs[place - 2 * n])
    return found, {trail: plural(turn.carries[i].name) for i, trail in trails.items()}


def _last(made: Loop, trail: Node) -> Node:
    """A carry after the last turn: a sum where nothing is scaled."""
    if not _only_adds(trail):
        return made.last_of(trail)
    start, _, terms = trail.args
    return add(start, reduce("sum", terms, -len(terms.type.known)))


def _left(made: Loop, trail: Node) -> Node:
    """A carry as every turn leaves it: a running sum where nothing is scaled."""
    if not _only_adds(trail):
        return made.left_of(trail)
    start, _, terms = trail.args
    return add(start, running_sum(terms, -len(terms.type.known), made.backwards))


def _only_adds(trail: Node) -> bool:
    return isinstance(trail, Apply) and trail.op is RECURRENCE and is_number(trail.args[1], 1)


def _through_an_out(made: Loop, used: Collection[int]) -> Recurring | None:
    """The one carry of a derivative's loop, which begins with 0, gives out ``y = carry + q`` and carries on ``r * y`` with the same r in all turns: then
    the next turn's y is ``r * y + q``, and the carry is r times it."""
    turn = made.turn
    if len(turn.carries) != 1 or not is_number(everywhere(made.initial[0]) or made.initial[0], 0):
        return None
    (carry,), (after,) = turn.carries, turn.nexts
    for node in turn.outs:
        y = argument("y", "row", node.type)
        cut = substituted(turn.made, {node: y})
        scaled = _scaled(cut[after], y) if node.type.matches(carry.type) and carry not in topological(cut.values()) else None
        split = None if scaled is None or not is_number(scaled[1], 0) else _scaled(node, carry)
        if scaled is None or split is None or not is_number(split[0], 1):
            continue
        rows = _Rows(made)
        if not rows.varies(scaled[0]):
            trail = rows.recurrence(scaled[0], split[1], made.initial[0], carry)
            rows.know(y, made.left_of(trail))
            carried = [rewritten("multiply", rows.outside(scaled[0]), each) for each in (made.last_of(trail), trail)]
            return {place: carried[place] if place < 2 else rows.for_all(cut[turn.outs[place - 2]]) for place in used}, {}
    return None


class _Rows:
    """What is known of all turns of a loop: the values of its elements, to begin with."""

    def __init__(self, made: Loop) -> None:
        self.made = made
        self.names: dict[Node, Node] = dict(zip(made.turn.constants, made.constants, strict=True))
        self.rows: dict[Node, Node] = dict(zip(made.turn.elements, made.sequences, strict=True))

    def know(self, node: Node, values: Node) -> None:
        """A value of the turn is these in all turns."""
        name = node if isinstance(node, Input) else self.names.setdefault(node, argument(f"{len(self.rows)}", "row", node.type))
        self.rows.setdefault(name, values)

    def varies(self, node: Node) -> bool:
        """Whether a value is another in every turn."""
        return not self.rows.keys().isdisjoint(topological([self.outside(node)]))

    def for_all(self, node: Node) -> Node:
        """A value of the turn for all turns. Raises Unbatchable."""
        return batched([self.outside(node)], self.rows, (self.made.length,))[0]

    def outside(self, node: Node) -> Node:
        """A value of the turn by what stands outside, and by the names of rows."""
        return substituted([node], self.names)[node]

    def trail(self, after: Node, start: Node, carry: Input) -> Node | None:
        """A carry before the first turn and after every one; None for one of which the turns make more than a line. Raises Unbatchable."""
        if carry not in topological([after]):
            rows, first = self.for_all(broadcast_to(after, carry.type.known)), reshape(start, (ONE, *carry.type.known))
            return concatenate([rows, first] if self.made.backwards else [first, rows], 0)
        scaled = _scaled(after, carry) if carry.type.dtype == "float" else None
        return None if scaled is None else self.recurrence(*scaled, start, carry)

    def recurrence(self, factor: Node, term: Node, start: Node, carry: Input) -> Node:
        """The operation. Raises Unbatchable."""
        row = carry.type.known
        factors = self.for_all(broadcast_to(factor, row)) if self.varies(factor) else self.outside(factor)
        terms = self.for_all(broadcast_to(cast(term, "float"), row))
        return apply(RECURRENCE, start, factors, terms, backwards=self.made.backwards)


def _scaled(root: Node, carry: Node) -> tuple[Node, Node] | None:
    """What a value multiplies a carry with and adds to it, entry by entry; None where it does more to it."""
    found: dict[Node, _Line] = {carry: (const(1.0), None)}
    for node in topological([root]):
        if node not in found and isinstance(node, Apply) and not found.keys().isdisjoint(node.args):
            made = _step(node, found) if node.type.matches(carry.type) else None
            if made is None:
                return None
            found[node] = made
    factor, term = found.get(root, (None, None))
    return None if factor is None else (factor, const(0.0) if term is None else term)


# what a carry is multiplied with, and what is added, each None for 0
_Line = tuple[Node | None, Node | None]


def _step(node: Apply, found: Mapping[Node, _Line]) -> _Line | None:
    """The same of one operation, of whose arguments some are ``found``."""
    name, args = node.op.name, node.args
    scaled = [arg in found for arg in args]
    (a, b), *rest = [found.get(arg, (None, arg)) for arg in args]
    if name == "negative":
        return _applied(name, a), _applied(name, b)
    if name in ("add", "subtract"):
        ((c, d),) = rest
        return _added(name, a, c), _added(name, b, d)
    if name == "where" and scaled == [False, True, True]:
        # a carry that is left out altogether may be infinite, and is not multiplied by 0
        return _chosen(args[0], rest[0][0], rest[1][0]), _chosen(args[0], rest[0][1], rest[1][1])
    if name in ("multiply", "divide") and scaled == [True, False]:
        return _applied(name, a, args[1]), _applied(name, b, args[1])
    if name == "multiply" and scaled == [False, True]:
        ((c, d),) = rest
        return _applied(name, c, args[0]), _applied(name, d, args[0])
    return None


def _applied(name: str, x: Node | None, *others: Node) -> Node | None:
    """An operation on a part of a line; a factor that all turns share stands before what is multiplied."""
    return None if x is None else rewritten(name, *((*others, x) if name == "multiply" else (x, *others)))


def _added(name: str, x: Node | None, y: Node | None) -> Node | None:
    if x is None or y is None:
        return x if y is None else rewritten("negative", y) if name == "subtract" else y
    return rewritten(name, x, y)


def _chosen(condition: Node, x: Node | None, y: Node | None) -> Node | None:
    return None if x is None and y is None else rewritten("where", condition, *(const(0.0) if each is None else each for each in (x, y)))


__all__ = ["as_recurrences"]
