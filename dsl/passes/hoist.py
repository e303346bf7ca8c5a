"""What a loop does turn by turn, and could do for all turns at once, is taken out of it.

Before: ``h = tanh(X[t] @ Wx + h @ Wh)`` in a turn, and ``dWh += outer(h, dz)`` in a turn of its derivative. After: the product ``X @ Wx`` before the
loop, of which a turn takes a row, and ``H.T @ dZ`` after the other, whose turns give out ``dz``. A loop in blocks keeps what it has: it is there
to save memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from dsl.calculus.turns import moved, raised
from dsl.nodes import Apply, Node, Notes, Program, apply, remapped, topological
from dsl.ops.factorisations import PART, parts_of, place_of
from dsl.ops.loops import LOOP, Loop, as_loop

# a loop and those of its parts that are used, into what stands for them (see moved)
Change = Callable[[Loop, Mapping[int, Node]], tuple[Node, dict[int, Node], dict[Node, str]]]


def hoist(program: Program) -> Program:
    """The same program, with less in the turns of its loops."""
    return _changed(program, moved)


def lift(program: Program) -> Program:
    """The same program, its loops with nothing left in their turns that is the same in all of them, as numbers are that two terms have."""
    return _changed(program, raised)


def _changed(program: Program, change: Change) -> Program:
    graph = _Graph(program.every_root, change)
    if not graph.loops:
        return program
    program = remapped(program, graph.mapped)
    return replace(program, wishes={**graph.names, **program.wishes})


class _Graph:
    """A graph with its loops changed: ``mapped`` says what every node has become, ``names`` what new ones are to be called."""

    def __init__(self, roots: Iterable[Node], change: Change) -> None:
        order = topological(roots)
        self.change = change
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
        inner = _Graph(made.turn.made, self.change)
        turn = made.turn.mapped(inner.mapped)
        turn = replace(turn, notes=turn.notes.joined(Notes(wishes=tuple(inner.names.items()))))
        made = made.turning(turn)
        new, self.loops[node], called = self.change(made, self.used.get(node, {}))
        self.names |= called
        return new


__all__ = ["hoist", "lift"]
