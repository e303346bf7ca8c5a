"""Loops that run the same turns over the same arrays are one loop, which gives out what each of them did.

Before: ``fold``, and beside it the loop that also gives out what its derivative needs. After: the second.
"""

from __future__ import annotations

from dataclasses import replace

from dsl.calculus.identities import rewrite
from dsl.nodes import Apply, Node, Notes, Program, apply, rebuild, remapped, topological
from dsl.ops.factorisations import PART, place_of
from dsl.ops.loops import LOOP, Loop, Turn, as_loop

Key = tuple[tuple[Node, ...], Turn, object, bool, object]


def share(program: Program) -> Program:
    """The same program, with every loop run once."""
    if not any(isinstance(node, Apply) and node.op is LOOP for node in topological(program.every_root)):
        return program
    # what the loop of a derivative does again of another is as simple as derivatives come: so is that
    program = remapped(program, rebuild(program.every_root, rewrite))
    order = topological(program.every_root)
    turns: dict[Key, Turn] = {}
    for node in order:
        if isinstance(node, Apply) and node.op is LOOP:
            key, turn = _key(as_loop(node)), as_loop(node).turn
            turns[key] = _both(turns[key], turn) if key in turns else turn
    mapped: dict[Node, Node] = {}
    for node in order:
        mapped[node] = _with(node, tuple(mapped[arg] for arg in node.args), turns)
    return remapped(program, mapped)


def _key(made: Loop) -> Key:
    return made.node.args, replace(made.turn, outs=(), notes=Notes()), made.length, made.backwards, made.blocks


def _both(one: Turn, other: Turn) -> Turn:
    """A turn that gives out what either does."""
    return replace(one, outs=tuple(dict.fromkeys(one.outs + other.outs)), notes=one.notes.joined(other.notes))


def _with(node: Node, args: tuple[Node, ...], turns: dict[Key, Turn]) -> Node:
    """A node upon its new arguments: a loop with everything that its like gives out, and of a part its new place."""
    if not isinstance(node, Apply):
        return node
    if node.op is LOOP:
        made = as_loop(node)
        n, m = len(made.turn.carries), len(made.turn.carries) + len(made.turn.elements)
        return made.again(turns[_key(made)], args[:n], args[n:m], args[m:]).node
    if node.op is PART and isinstance(node.args[0], Apply) and node.args[0].op is LOOP:
        made = as_loop(node.args[0])
        place, first = place_of(node), 2 * len(made.turn.carries)
        if place >= first:
            place = first + turns[_key(made)].outs.index(made.turn.outs[place - first])
        return apply(PART, *args, **{**dict(node.attrs), "index": place})
    return apply(node.op, *args, **dict(node.attrs)) if args != node.args else node
