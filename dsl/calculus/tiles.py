"""Sums of arrays that are zero but for a part of their own, such as the cotangents of a split: where the parts tile an axis, they are joined.

Before: ``_scatter((B, 2 * H), np.s_[:, :H], a) + _scatter((B, 2 * H), np.s_[:, H:], b)``. After: ``np.concatenate((a, b), axis=1)``.
"""

from __future__ import annotations

from typing import NamedTuple
from typing import cast as typing_cast

from dsl.nodes import Apply, Node, applies
from dsl.ops.core import add
from dsl.ops.indexing import FULL, INDEX, SCATTER, Item, narrow, place_in_rows
from dsl.ops.shaping import concatenate, reshape, stack
from dsl.types import ONE, ZERO, Dim, product

TERMS = 32


class _Tile(NamedTuple):
    """A part of an array along one axis, and the term that holds it."""

    axis: int
    start: Dim
    stop: Dim
    single: bool
    term: Apply


def joined(node: Apply) -> Node | None:
    """A sum with the parts in it put side by side, or None where they tile no axis."""
    if not any(isinstance(arg, Apply) and arg.op.name in ("scatter", "add") for arg in node.args):
        return None
    terms = _terms(node)
    tiles = [tile for each in terms if (tile := _tile(each)) is not None]
    for first in tiles:
        row = _row(first, tiles)
        if row is None:
            continue
        rest = [each for each in terms if each is row[0].term or each not in {tile.term for tile in row}]
        total: Node | None = None
        for each in rest:
            each = _side_by_side(row) if each is row[0].term else each
            total = each if total is None else add(total, each)
        return total if total is not None and total.type.matches(node.type) else None
    return None


def _terms(node: Apply) -> list[Node]:
    """What a sum adds up, as far as it is short."""
    terms: list[Node] = []
    stack: list[Node] = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, Apply) and each.op.name == "add" and len(terms) + len(stack) < TERMS:
            stack += reversed(each.args)
        else:
            terms.append(each)
    return terms


def _tile(node: Node) -> _Tile | None:
    """The part that is not zero, where it is a stretch of one axis and all of the others."""
    if not (isinstance(node, Apply) and node.op.name == "scatter" and len(node.args) == 1 and node.type.shape):
        return None
    items = node.attr("items")
    assert isinstance(items, tuple)
    places = [axis for axis, item in enumerate(items) if item != FULL]
    if len(items) > len(node.type.shape) or len(places) != 1:
        return None
    (axis,) = places
    kind, *rest = items[axis]
    size = node.type.shape[axis]
    if kind == "int":
        start = _from_front(rest[0], size)
        return None if start is None else _Tile(axis, start, start + ONE, True, node)
    if kind != "slice" or rest[2] != 1:
        return None
    start = ZERO if rest[0] is None else _from_front(rest[0], size)
    stop = size if rest[1] is None else _from_front(rest[1], size)
    return None if start is None or stop is None else _Tile(axis, start, stop, False, node)


def _from_front(place: Dim, size: Dim) -> Dim:
    return size + place if (place.constant or 0) < 0 else place


def _row(first: _Tile, tiles: list[_Tile]) -> list[_Tile] | None:
    """Tiles that follow one another from the beginning of an axis to its end, if this is the first of such."""
    if first.start != ZERO or first.term.type.shape is None:
        return None
    row, size = [first], first.term.type.shape[first.axis]
    while row[-1].stop != size:
        after = next((each for each in tiles if each.axis == first.axis and each.start == row[-1].stop and each not in row), None)
        if after is None:
            return None
        row.append(after)
    return row if len(row) > 1 else None


def _side_by_side(row: list[_Tile]) -> Node:
    axis = row[0].axis
    if all(tile.single for tile in row):
        return stack([tile.term.args[0] for tile in row], axis)
    parts = []
    for tile in row:
        shape = tile.term.type.known
        own = (*shape[:axis], tile.stop - tile.start, *shape[axis + 1 :])
        parts.append(reshape(tile.term.args[0], own) if tile.single else tile.term.args[0])
    return concatenate(parts, axis)


def added_up(node: Apply) -> Node | None:
    """The sum of every row of an array that has one entry in each, wherever it stands."""
    (x,) = node.args
    if not (isinstance(x, Apply) and x.op is SCATTER and node.op.name == "sum" and (placed := place_in_rows(x))):
        return None
    return reshape(x.args[0], node.type.known) if node.attr("axes") == (placed[1],) else None


def rejoined(node: Apply) -> Node | None:
    """Slices of one array that follow on each other, joined again, are one slice of it."""
    axis = int(str(node.attr("axis")))
    cuts = [_cut_from(arg, axis) for arg in node.args]
    base, start, end = cuts[0] or (None, ZERO, ZERO)
    for cut in cuts[1:]:
        if base is None or cut is None or cut[0] is not base or cut[1] != end:
            return None
        end = cut[2]
    return None if base is None or base.type.dtype != node.type.dtype else narrow(base, axis, start, end)


def _cut_from(node: Node, axis: int) -> tuple[Node, Dim, Dim] | None:
    """The array that a node is a slice of along an axis, or one entry of, and where that begins and ends."""
    known = node.type.known
    single = applies(node, "reshape", "broadcast_to") and known[axis] == ONE and product(known) == product(node.args[0].type.known)
    cut = node.args[0] if single else node
    if not (isinstance(cut, Apply) and cut.op is INDEX and len(cut.args) == 1):
        return None
    base, items = cut.args[0], typing_cast("tuple[Item, ...]", cut.attr("items"))
    rank = len(base.type.known)
    if len(known) != rank:
        return None
    size, item = base.type.known[axis], items[axis + rank] if len(items) > axis + rank else FULL
    if any(each != FULL for i, each in enumerate(items) if i != axis + rank):
        return None
    if item[0] == "int" and single:
        at = _from_front(typing_cast(Dim, item[1]), size)
        return base, at, at + ONE
    if item[0] != "slice" or item[3] != 1 or single:
        return None
    start, end = typing_cast("tuple[Dim | None, Dim | None]", item[1:3])
    return base, ZERO if start is None else _from_front(start, size), size if end is None else _from_front(end, size)
