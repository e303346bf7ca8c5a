"""What a pass does to a program, done to the turns of its loops too: each is a program of its own, with the names and lines that it has for a reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dsl.nodes import Apply, Node, Notes, Program, apply, remapped, topological
from dsl.ops.loops import LOOP, Loop, Turn, as_loop


def within(program: Program, change: Callable[[Program, Loop], Program]) -> Program:
    """The program with its turns changed, each told of which loop it is, and with what was rewritten in them among its ``rewrites``."""
    order = topological(program.roots)
    if not any(isinstance(node, Apply) and node.op is LOOP for node in order):
        return program
    rewrites = program.rewrites
    mapped: dict[Node, Node] = {}
    for node in order:
        mapped[node] = node
        if isinstance(node, Apply):
            args = [mapped[arg] for arg in node.args]
            mapped[node] = new = apply(node.op, *args, **dict(node.attrs))
            if node.op is LOOP:
                made = as_loop(new)
                inner = change(replace(_of_turn(program, made.turn), rewrites=rewrites), made)
                rewrites = inner.rewrites
                mapped[node] = made.turning(_turn_of(inner, made.turn)).node
    return replace(remapped(program, mapped), rewrites=rewrites)


def _of_turn(program: Program, turn: Turn) -> Program:
    """A turn as a program: what it makes are the outputs, and the origin of a node is its place among those of the lines."""
    notes = turn.notes
    places = {node: (i,) for i, (node, _) in enumerate(notes.lines)}
    told = replace(program, names=dict(notes.names), lines=dict(notes.lines), wishes=dict(notes.wishes), origins=places, adjoints={}, fused_adjoints={})
    return replace(told, outputs=tuple(("", node) for node in turn.made), gradients=(), fused=(), alone=(), guards=(), walks=())


def _turn_of(program: Program, turn: Turn) -> Turn:
    """The turn of such a program."""
    made = tuple(node for _, node in program.outputs)
    count, last = len(turn.nexts), len(turn.notes.lines)
    lines = dict(sorted(program.lines.items(), key=lambda item: min(program.origins.get(item[0], (last,)))))
    return replace(turn, nexts=made[:count], outs=made[count:], notes=Notes.of(made, program.names, lines, program.wishes))


__all__ = ["within"]
