"""An array put together from its parts, and what such an array adds up to.

Before: ``scatter(a, [0]) + scatter(b, [1]) + scatter(c, [2])`` along an axis of three entries. After: ``stack([a, b, c])``.
"""

from __future__ import annotations

from typing import cast as typing_cast

from dsl.nodes import Apply, Node
from dsl.ops.elementwise import ew
from dsl.ops.indexing import FULL, SCATTER, Item
from dsl.ops.shaping import broadcast_to, reshape, stack
from dsl.types import Dim

MOST = 32


def assembled(node: Apply) -> Node | None:
    """A sum that holds a part for every entry along an axis, each part zero elsewhere."""
    shape = node.type.shape
    last = _entry(node.args[1]) or _entry(node.args[0])
    if shape is None or last is None or last[1].constant is None or not 1 < last[1].constant <= MOST:
        return None
    axis, size = last[0], last[1].constant
    parts: dict[int, Node] = {}
    rest: list[Node] = []
    addends: list[Node] = [node]
    while addends and len(parts) + len(rest) <= 2 * MOST:
        each = addends.pop()
        if isinstance(each, Apply) and each.op.name == "add":
            addends += each.args
            continue
        entry = _entry(each)
        if entry is not None and entry[:2] == last[:2] and entry[2] not in parts:
            parts[entry[2]] = entry[3]
        else:
            rest.append(each)
    if addends or len(parts) < size:
        return None
    at = len(shape) + axis
    wide = shape[:at] + shape[at + 1 :]
    made = stack([broadcast_to(parts[i], wide) for i in range(size)], axis)
    total: Node | None = None
    for each in [*reversed(rest), made]:
        total = each if total is None else ew("add", total, each)
    return total if total is not None and total.type == node.type else None


def _entry(node: Node) -> tuple[int, Dim, int, Node] | None:
    """The axis, counted from the right, along which a node is 0 but for one entry; its size; the entry, and what stands there."""
    if not (isinstance(node, Apply) and node.op is SCATTER and len(node.args) == 1):
        return None
    items, shape = typing_cast("tuple[Item, ...]", node.attr("items")), node.type.known
    places = [i for i, item in enumerate(items) if item != FULL]
    if len(places) != 1 or items[places[0]][0] != "int" or len(items) != len(shape):
        return None
    (at,) = places
    index, size = typing_cast(Dim, items[at][1]).constant, shape[at].constant
    if index is None or size is None:
        return None
    return at - len(shape), shape[at], index % size, node.args[0]


def added_up(node: Apply) -> Node | None:
    """The sum of every row of a matrix that has one entry in each, wherever it stands."""
    (x,) = node.args
    if not (isinstance(x, Apply) and x.op is SCATTER and node.op.name == "sum" and node.attr("axes") == (-1,) and len(x.args) == 3):
        return None
    rows, size = x.args[1], x.type.known[0]
    each_row = isinstance(rows, Apply) and rows.op.name == "arange" and rows.type.shape == x.args[0].type.shape == x.args[2].type.shape == (size,)
    if x.attr("items") != (("array", 0), ("array", 1)) or not each_row:
        return None
    return reshape(x.args[0], node.type.known)


__all__ = ["added_up", "assembled"]
