"""Logarithms that a loop carries as numbers that are scaled in every turn, as the forward algorithm is computed by hand.

Before: ``a = log(exp(a - max(a)) @ P) + max(a) + e[t]``, and ``logsumexp(a)`` after the loop. After: ``w = (w @ P) * E[t]``, ``c = sum(w)`` and
``w = w / c`` with ``E = exp(e - max(e))``, and ``log(sum(w))`` and the logarithms of all that was taken out, added up after the loop: one for a
turn, which had an exponential and a logarithm for each entry. What floats cannot hold beside the largest entry was 0 in the next turn's product
before. Numbers that are all 0 become nan, which says that the logarithms are to be taken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from dsl.calculus.batching import Unbatchable, batched
from dsl.calculus.identities import rewrite, rewritten
from dsl.calculus.scalings import readers_of, upon
from dsl.calculus.sums import added_up, terms_of
from dsl.calculus.within import within
from dsl.nodes import Apply, Input, Node, Notes, Program, applies, argument, made_of, remapped, substituted, topological
from dsl.ops.broadcasting import reshape, settings, total
from dsl.ops.contraction import EINSUM
from dsl.ops.core import axes_of
from dsl.ops.factorisations import parts_of
from dsl.ops.loops import LOOP, Loop, Turn, as_loop, loop
from dsl.ops.making import stop_gradient, with_exponent
from dsl.ops.reduction import reduce as reduction
from dsl.types import ONE, trimmed


def scaled(program: Program) -> Program:
    """The same program, with numbers carried where nothing but the logarithm of their sum is read after the loop."""
    program = within(program, lambda turn, _: scaled(turn))
    readers, order = readers_of(program), topological(program.roots)
    # what reads the last carry, of loops of which nothing else is read
    ends: dict[Node, list[Node]] = {node: readers[parts[0]] for node, parts in parts_of(order).items() if applies(node, LOOP.name) and parts.keys() == {0}}
    mapped: dict[Node, Node] = {}
    wishes: dict[Node, str] = {}
    totals: dict[Node, _Carried] = {}
    for node in order:
        mapped[node] = new = upon(node, mapped)
        carried = _as_numbers(as_loop(new)) if node in ends and isinstance(new, Apply) else None
        if carried is not None and all(map(carried.is_ended_by, ends[node])):
            totals |= dict.fromkeys(ends[node], carried)
            wishes |= carried.wishes
        elif isinstance(node, Apply) and node in totals:
            mapped[node] = totals[node].total_of(node)
    changed = remapped(program, mapped)
    return replace(changed, wishes={**wishes, **changed.wishes})


def _as_numbers(made: Loop) -> _Carried | None:
    """A loop of logarithms as one of numbers; None for another."""
    logarithms = _Logarithms.of(made)
    try:
        return logarithms.as_numbers() if logarithms is not None else None
    except Unbatchable:
        return None


@dataclass(frozen=True)
class _Carried:
    """A loop of numbers in the place of one of logarithms, from whose entries something is taken out along ``axes``: its last carry, and the
    logarithm of all that was taken out."""

    axes: tuple[int, ...]
    last: Node
    taken: Node
    wishes: Mapping[Node, str]

    def is_ended_by(self, node: Node) -> bool:
        """Whether a node is the logarithm of the sum of the exponentials of the last carry, along the axes."""
        return applies(node, "logsumexp") and axes_of(settings(dict(node.attrs))[0], len(self.last.type.known)) == self.axes

    def total_of(self, node: Apply) -> Node:
        """What such a node is of the numbers."""
        added = rewritten("log", total(self.last, self.axes, keepdims=settings(dict(node.attrs))[1]))
        return rewritten("add", added, rewrite(reshape(self.taken, node.type.known)))


@dataclass(frozen=True)
class _Logarithms:
    """A loop that makes ``log(sums) + top + beside`` of its one carry, of which it reads ``weights``, ``exp(carry - top)``, and ``top``, the largest
    entries along ``axes``, which are all that there are where they are not kept."""

    made: Loop
    axes: tuple[int, ...]
    keepdims: bool
    weights: Node
    sums: Node
    beside: tuple[tuple[int, Node], ...]

    @classmethod
    def of(cls, made: Loop) -> _Logarithms | None:
        """A loop as such a one; None for another."""
        turn = made.turn
        if made.blocks is not None or len(turn.carries) != 1 or turn.outs:
            return None
        (carry,), order = turn.carries, topological(turn.nexts)
        varying = made_of(turn.carries, order)
        (following,) = turn.nexts
        terms = terms_of(following, lambda each: True, set()) if isinstance(following, Apply) else []
        logs = [term for sign, term in terms if term in varying and applies(term, "log") and sign > 0]
        tops = [term for sign, term in terms if term in varying and term not in logs and sign > 0]
        beside = tuple((sign, term) for sign, term in terms if term not in varying)
        if len(logs) != 1 or len(tops) != 1 or len(beside) + 2 < len(terms) or not logs[0].args[0].type.matches(carry.type):
            return None
        sums, largest = logs[0].args[0], _unshaped(tops[0])
        exps = (node for node in order if applies(node, "exp") and applies(node.args[0], "subtract"))
        weights = next((node for node in exps if node.args[0].args[0] is carry and _unshaped(node.args[0].args[1]) is largest), None)
        if weights is None or not applies(largest, "max") or largest.args != (carry,) or not _is_multiple(sums, weights, varying):
            return None
        over, keepdims = settings(dict(largest.attrs))
        rank = len(carry.type.known)
        axes = axes_of(over, rank)
        # what was taken out of a carry is taken out of the next one as it stands
        stays = trimmed(tops[0].type.known) == trimmed(largest.type.known) and (keepdims or len(axes) == rank)
        return cls(made, axes, keepdims, weights, sums, beside) if stays else None

    def as_numbers(self) -> _Carried:
        """The loop of numbers. Raises Unbatchable."""
        made, (carry,) = self.made, self.made.turn.carries
        start = made.initial[0]
        top = stop_gradient(reduction("max", start, self.axes, keepdims=self.keepdims))
        weights = argument("weights", carry.role, carry.type)
        sums = substituted([self.sums], {self.weights: weights})[self.sums]
        given, wishes = self._outside, dict[Node, str]()
        factors, out = self._factors() if self.beside else (None, None)
        if factors is None:
            scale = self._scale(sums)
            after = rewritten("divide", sums, scale)
        else:
            factor = argument("factor", carry.role, type(carry.type)("float", factors.type.known[1:]))
            given[factor], wishes[factors] = factors, "factors"
            scale = self._scale(rewritten("multiply", sums, factor))
            scaled = rewritten("multiply", sums, stop_gradient(rewritten("divide", factor, scale)))
            after = with_exponent(scaled, added_up(self.beside))
        elements = {each: value for each, value in given.items() if each not in made.turn.constants}
        constants = {each: value for each, value in given.items() if each in made.turn.constants}
        notes = made.turn.notes.mapped({made.turn.nexts[0]: after}, (after,)).joined(Notes(wishes=((sums, "sums"), (scale, "scale"))))
        turn = Turn((weights,), tuple(elements), tuple(constants), (after,), (scale,), notes)
        first = rewritten("exp", rewritten("subtract", start, top))
        numbers = loop(turn, [first], [*elements.values()], [*constants.values()], made.length, made.backwards)
        scales = rewritten("log", numbers.out(0))
        if self.keepdims:
            more = total(scales if out is None else rewritten("add", scales, out), 0)
        else:
            more = total(scales) if out is None else rewritten("add", total(scales), total(out))
        return _Carried(self.axes, numbers.last(0), rewritten("add", top, more), wishes)

    @property
    def _outside(self) -> dict[Input, Node]:
        """What stands outside for what the turn is given."""
        made, turn = self.made, self.made.turn
        return dict(zip((*turn.elements, *turn.constants), (*made.sequences, *made.constants), strict=True))

    def _factors(self) -> tuple[Node | None, Node]:
        """Of what is added beside, the exponentials in all turns, if it differs along the axes, and what these leave out. Raises Unbatchable."""
        term = added_up(self.beside)
        term = rewrite(reshape(term, (ONE,) * (len(self.sums.type.known) - len(term.type.known)) + term.type.known))
        constants: dict[Node, Node] = {each: self._outside[each] for each in self.made.turn.constants}
        elements: dict[Node, Node] = {each: self._outside[each] for each in self.made.turn.elements}
        logs = batched([substituted([term], constants)[term]], elements, (self.made.length,))[0]
        if all(logs.type.known[axis] == ONE for axis in self.axes):
            return None, logs
        most = stop_gradient(reduction("max", logs, self.axes, keepdims=True))
        return rewritten("exp", rewritten("subtract", logs, most)), most

    def _scale(self, x: Node) -> Node:
        """What is taken out of numbers: any scale will do, so no gradient goes through it."""
        return stop_gradient(total(x, self.axes, keepdims=self.keepdims))


def _unshaped(node: Node) -> Node:
    """What a node has the entries of, in their order."""
    while applies(node, "reshape", "broadcast_to", "stop_gradient"):
        node = node.args[0]
    return node


def _is_multiple(node: Node, of: Node, varying: Collection[Node]) -> bool:
    """Whether a value becomes so many times as large as another does, and depends on nothing else of what varies."""
    while node is not of:
        if not isinstance(node, Apply) or not (node.op.view or node.op.name in ("sum", "multiply") or node.op is EINSUM):
            return False
        through = [arg for arg in node.args if arg in varying]
        if len(through) != 1:
            return False
        node = through[0]
    return True


__all__ = ["scaled"]
