"""Arrays that the caller keeps from one call to the next, in a workspace, and that are filled again instead of made anew.

Before: ``logits = X.dot(W)``. After: ``logits = X.dot(W, out=room("logits", (N, K)))``. What a call gives out is never in the workspace, for the
next call would change it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from dsl.calculus.owned import owns
from dsl.emit.body import Body, words
from dsl.nodes import Apply

_TARGET = re.compile(r"\s*(\w+(?:, \w+)*)(?:: [\w\[\]]+)? = (.*)", re.DOTALL)
_OUT = re.compile(r"\bout=(\w+)\)")
_EMPTY = re.compile(r"(\w+) = np\.empty\((.+), dtype=(\w+)\)")


def housed(lines: Sequence[str], made: Mapping[int, tuple[str, Apply]], body: Body, room: str, into: Callable[[Apply, str, str], str | None]) -> list[str]:
    """The statements of a function, its ``return`` the last, with arrays of the workspace in place of new ones. ``made`` tells which lines make an
    array under a name of its own, and ``into`` writes a formula's result into an array."""
    given_out = _given_out(lines, {name for name, node in made.values() if owns(node) or node.type.shape == ()})
    found = list(lines)
    for i, (name, node) in made.items():
        start = f"{name} = "
        if owns(node) and name not in given_out and lines[i].startswith(start) and not _OUT.search(lines[i]):
            text = into(node, lines[i].removeprefix(start), f'{room}("{name}", {body.shape(node)})')
            found[i] = start + text if text else lines[i]
    for i, line in enumerate(lines):
        # what a loop keeps of its turns
        match = _EMPTY.fullmatch(line)
        if match and match[3] == body.dtype and match[1] not in given_out:
            found[i] = f'{match[1]} = {room}("{match[1]}", {match[2]})'
    return found


def _given_out(lines: Sequence[str], owned: Collection[str]) -> set[str]:
    """The names of what the function returns, and of what that may be a view of, or stand in."""
    found = set(words(lines[-1]))
    matches = [match for line in lines[:-1] for each in line.split("\n") if (match := _TARGET.match(each)) and not each.lstrip().startswith("#")]
    before = -1
    while len(found) > before:
        before = len(found)
        for target, text in (match.groups() for match in reversed(matches)):
            names = set(target.split(", "))
            if not names.isdisjoint(found):
                found.update(_OUT.findall(text) if names <= set(owned) else words(text))
    return found


__all__ = ["housed"]
