"""A loop whose turns only scale what they carry and add to it is one operation, whose turns go on side by side.

Before: a loop of ``v = omega + alpha * r[t] ** 2 + beta * v``, and its derivative, one of ``dv = beta * (dv + g[t])``. After: ``_recurrence(v0, beta,
omega + alpha * r ** 2)``, and the same from the end. Only the fused graph is changed: the pair shows the turns. So do wide vectors, where a turn is
no faster beside others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dsl.calculus.recurrences import as_recurrences
from dsl.calculus.within import within
from dsl.nodes import Apply, Node, Program, apply, fused_only, remapped, topological, with_fused
from dsl.ops.along import RECURRENCE
from dsl.ops.factorisations import parts_of, place_of
from dsl.ops.loops import LOOP, Loop, as_loop

# as many entries as helpers.py takes side by side
_WIDE = 64


def recur(program: Program) -> Program:
    """The same program, with fewer loops in its fused graph."""
    only = fused_only(program)
    made = _recurring(only)
    if not _recurs(made.roots):
        return program
    said = "Where a loop only scales what it carries and adds to it, many turns are taken side by side."
    return replace(with_fused(program, made), hastened=(*program.hastened, said))


def _recurring(program: Program) -> Program:
    """A graph, and those of the turns of its loops, with fewer loops."""
    program = within(program, lambda turn, _: _recurring(turn))
    order = topological(program.roots)
    used = parts_of(order)
    mapped: dict[Node, Node] = {}
    found: dict[Node, dict[int, Node]] = {}
    names: dict[Node, str] = {}
    for node in order:
        mapped[node] = node
        if not isinstance(node, Apply):
            continue
        if node.args and node.args[0] in found:
            mapped[node] = found[node.args[0]][place_of(node)]
            continue
        mapped[node] = new = apply(node.op, *(mapped[arg] for arg in node.args), **dict(node.attrs))
        if node.op is LOOP and not _is_wide(program, made := as_loop(new)) and (recurring := as_recurrences(made, used.get(node, {}))) is not None:
            found[node], called = recurring
            names |= called
    program = remapped(program, mapped)
    return replace(program, wishes={**names, **program.wishes})


def _is_wide(program: Program, made: Loop) -> bool:
    """Whether a carry is known, or hinted, to be a wide vector."""
    hints = dict(program.hints)
    sizes = [dim for carry in made.turn.carries for dim in carry.type.known]
    return any((dim.constant is not None and dim.constant > _WIDE) or any(hints.get(symbol.name, 0) > _WIDE for symbol in dim.symbols()) for dim in sizes)


def _recurs(roots: Iterable[Node]) -> bool:
    """Whether there is such an operation in a graph, or in the turns of its loops."""
    return any(isinstance(node, Apply) and (node.op is RECURRENCE or (node.op is LOOP and _recurs(as_loop(node).turn.made))) for node in topological(roots))


__all__ = ["recur"]
