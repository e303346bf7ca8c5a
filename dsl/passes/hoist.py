"""What a loop does turn by turn, and could do for all turns at once, is taken out of it.

Before: ``h = tanh(X[t] @ Wx + h @ Wh)`` in a turn, and ``dWh += outer(h, dz)`` in a turn of its derivative. After: the product ``X @ Wx`` before the
loop, of which a turn takes a row, and ``H.T @ dZ`` after the other, whose turns give out ``dz``. A loop in blocks keeps what it has: it is there
to save memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dsl.calculus.turns import moved
from dsl.nodes import Apply, Node, Notes, Program, apply, remapped, topological
from dsl.ops.factorisations import PART, parts_of, place_of
from dsl.ops.loops import LOOP, as_loop


def hoist(program: Program) -> Program:
    """The same program, with less in the turns of its loops."""
    graph = _Graph(program.every_root)
    if not graph.loops:
        return program
    program = remapped(program, graph.mapped)
    return replace(program, wishes={**graph.names, **program.wishes})


class _Graph:
    """A graph with its loops changed: ``mapped`` says what every node has become, ``names`` what new ones are to be called."""

    def __init__(self, roots: Iterable[Node]) -> None:
        order = topological(roots)
        self.loops: dict[Node, dict[int, Node]] = {}
        self.mapped: dict[Node, Node] = {}
        self.names: dict[Node, str] = {}
        self.used = parts_of(order)
        for node in order:
            self.mapped[node] = self._changed(node)

    def _changed(self, node: Node) -> Node:
        if not isinstance(node, Apply):
            return node
        if node.op is PART and node.args[0] in self.loops:
            return self.loops[node.args[0]][place_of(node)]
        args = tuple(self.mapped[arg] for arg in node.args)
        if node.op is not LOOP:
            return apply(node.op, *args, **dict(node.attrs)) if args != node.args else node
        made = as_loop(apply(LOOP, *args, **dict(node.attrs)))
        inner = _Graph(made.turn.made)
        turn = made.turn.mapped(inner.mapped)
        turn = replace(turn, notes=turn.notes.joined(Notes(wishes=tuple(inner.names.items()))))
        made = made.turning(turn)
        new, self.loops[node], called = moved(made, self.used.get(node, {}))
        self.names |= called
        return new


__all__ = ["hoist"]
