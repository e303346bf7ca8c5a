"""A loop: one operation that holds the graph of one turn.

``fold`` and ``scan`` are this operation, and so is its derivative, which runs the other way. Its node stands for several results
(``ops/factorisations.py``): the last carries, then the trails, each carry before the first turn and after every one, stacked on a first axis of
``length + 1``, then what each turn gives out, stacked on a first axis of ``length``. A loop that runs backwards fills its trails from the end.

A loop in ``blocks`` takes so many rows of its sequences in every turn, fewer in the last: that is how checkpoints are made. Its turn walks the
rows by a loop of its own, and is done again in backward rather than kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dsl.nodes import Apply, Input, Nested, Node, Notes, apply, of_sizes, rebuild, topological
from dsl.ops.contraction import is_turned
from dsl.ops.factorisations import part
from dsl.ops.indexing import FULL, SCATTER, index
from dsl.ops.spec import Op, Printer, Text
from dsl.types import ONE, ZERO, Dim, TensorType


@dataclass(frozen=True)
class Turn(Nested):
    """One turn of a loop: what it is given (``carries``, the ``elements`` of the sequences, the ``constants``) and what it makes of them, the
    ``nexts`` of its carries and what it gives ``outs``. The ``notes`` are for a reader."""

    carries: tuple[Input, ...]
    elements: tuple[Input, ...]
    constants: tuple[Input, ...]
    nexts: tuple[Node, ...]
    outs: tuple[Node, ...]
    notes: Notes = field(default_factory=Notes)

    @property
    def inputs(self) -> tuple[tuple[Input, ...], tuple[Input, ...], tuple[Input, ...]]:
        return self.carries, self.elements, self.constants

    @property
    def given(self) -> tuple[Input, ...]:
        return self.carries + self.elements + self.constants

    @property
    def made(self) -> tuple[Node, ...]:
        return self.nexts + self.outs

    def rebuilt(self, change: Callable[[Node], Node]) -> Turn:
        """The same turn with its graph rewritten."""
        return self.mapped(rebuild(self.made, change))

    def mapped(self, mapped: Mapping[Node, Node]) -> Turn:
        """The same turn with other nodes in its graph."""
        nexts, outs = (tuple(mapped[node] for node in group) for group in (self.nexts, self.outs))
        return Turn(*self.inputs, nexts, outs, self.notes.mapped(mapped, nexts + outs))


class Blocks(NamedTuple):
    """How a loop in blocks cuts its sequences: up to ``size`` of ``total`` rows a turn, of which there are ``rows``, a symbol of the turn's own."""

    size: Dim
    total: Dim
    rows: Dim


@dataclass(frozen=True)
class Loop:
    """A loop's node, and its parts by name."""

    node: Apply
    turn: Turn
    length: Dim
    backwards: bool
    blocks: Blocks | None

    def last(self, i: int) -> Node:
        """Carry i after the last turn."""
        return self._part(i, self.turn.carries[i], ())

    def trail(self, i: int) -> Node:
        """Carry i before the first turn and after every one."""
        return self._part(len(self.turn.carries) + i, self.turn.carries[i], (self.length + ONE,))

    def before(self, i: int) -> Node:
        """Carry i as every turn is given it."""
        return self.given_of(self.trail(i))

    def after(self, i: int) -> Node:
        """Carry i as every turn leaves it."""
        return self.left_of(self.trail(i))

    def last_of(self, trail: Node) -> Node:
        """Of a carry before the first turn and after every one, that after the last turn."""
        return index(trail, (("int", ZERO if self.backwards else self.length), *[FULL] * len(trail.type.known[1:])))

    def given_of(self, trail: Node) -> Node:
        """The carry as every turn is given it."""
        return self._entries(trail, 1 if self.backwards else 0)

    def left_of(self, trail: Node) -> Node:
        """The carry as every turn leaves it."""
        return self._entries(trail, 0 if self.backwards else 1)

    def split(self, trail: Node) -> tuple[Node, Node]:
        """A cotangent of a trail, as that of the carry after the last turn and those of the carries before every turn."""
        return self.last_of(trail), self.given_of(trail)

    def put_after(self, trail: Node) -> Node | None:
        """The rows of a trail's cotangent, where they are those of the carries after every turn and of no other."""
        if not (isinstance(trail, Apply) and trail.op is SCATTER and len(trail.args) == 1):
            return None
        start = 0 if self.backwards else 1
        low = Dim.number(start)
        rows = ("slice", low if start else None, None if start else self.length, 1)
        return trail.args[0] if trail.attr("items") == (rows, *[FULL] * len(trail.type.known[1:])) else None

    def _entries(self, trail: Node, start: int) -> Node:
        low = Dim.number(start)
        return index(trail, (("slice", low if start else None, None if start else self.length, 1), *[FULL] * len(trail.type.known[1:])))

    def out(self, i: int) -> Node:
        """What every turn gives out: a row, or a block of them."""
        node, place = self.turn.outs[i], 2 * len(self.turn.carries) + i
        if self.blocks is not None and self.by_block(node):
            return part(self.node, place, (self.blocks.total, *node.type.known[1:]), node.type.dtype)
        return self._part(place, node, (self.length,))

    def by_block(self, node: Node) -> bool:
        """Whether an element, or what a turn gives out, is a block of rows."""
        return self.blocks is not None and node.type.known[:1] == (self.blocks.rows,)

    def turning(self, turn: Turn) -> Loop:
        """The same loop with another turn."""
        return self.again(turn, self.initial, self.sequences, self.constants)

    def again(self, turn: Turn, initial: Sequence[Node], sequences: Sequence[Node], constants: Sequence[Node], backwards: bool | None = None) -> Loop:
        """A loop over the same length, in the same blocks, the same way or the other."""
        return loop(turn, initial, sequences, constants, self.length, self.backwards if backwards is None else backwards, self.blocks)

    def _part(self, index: int, like: Node, lead: tuple[Dim, ...]) -> Node:
        return part(self.node, index, lead + like.type.known, like.type.dtype)

    @property
    def initial(self) -> tuple[Node, ...]:
        return self.node.args[: len(self.turn.carries)]

    @property
    def sequences(self) -> tuple[Node, ...]:
        start = len(self.turn.carries)
        return self.node.args[start : start + len(self.turn.elements)]

    @property
    def constants(self) -> tuple[Node, ...]:
        return self.node.args[len(self.turn.carries) + len(self.turn.elements) :]


def _infer(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("float", ())


def _emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    raise AssertionError("a loop is printed as statements")


LOOP = Op("loop", _infer, _emit, nested=True)


def loop(
    turn: Turn,
    initial: Sequence[Node],
    sequences: Sequence[Node],
    constants: Sequence[Node],
    length: Dim,
    backwards: bool = False,
    blocks: Blocks | None = None,
) -> Loop:
    """A loop of ``length`` turns, from the last element to the first where it runs ``backwards``."""
    cut = None if blocks is None else tuple(blocks)
    return as_loop(apply(LOOP, *initial, *sequences, *constants, turn=turn, length=length, backwards=backwards, blocks=cut))


def as_loop(node: Apply) -> Loop:
    """A node of LOOP by the names of its parts."""
    turn, length, blocks = node.attr("turn"), node.attr("length"), node.attr("blocks")
    assert isinstance(turn, Turn) and isinstance(length, Dim)
    return Loop(node, turn, length, bool(node.attr("backwards")), Blocks(*blocks) if isinstance(blocks, tuple) else None)


def turn_raises(node: Node) -> bool:
    """Whether a loop's turn, or one of a loop in it, may meet a singular matrix."""
    if not isinstance(node, Apply) or node.op is not LOOP:
        return isinstance(node, Apply) and node.op.raises
    return any(map(turn_raises, topological(as_loop(node).turn.made)))


def captured_by(roots: Iterable[Node], varying: Iterable[Node]) -> list[Node]:
    """What a graph reads that no turn changes: it is computed once, before the loop. Of a transpose, which costs nothing, what it transposes."""
    roots, changing = list(roots), set(varying)
    captured: dict[Node, None] = {}
    for node in topological(roots):
        if not changing.isdisjoint(node.args):
            changing.add(node)
            captured.update(dict.fromkeys(_turned(arg) for arg in node.args if arg not in changing and not of_sizes(arg)))
    captured.update(dict.fromkeys(_turned(node) for node in roots if node not in changing and not of_sizes(node)))
    return list(captured)


def _turned(node: Node) -> Node:
    """What an array is the transpose of."""
    while is_turned(node):
        node = node.args[0]
    return node


OPS = (LOOP,)

__all__ = ["LOOP", "OPS", "Blocks", "Loop", "Turn", "as_loop", "captured_by", "loop", "turn_raises"]
