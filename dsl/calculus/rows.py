"""What an operation does along one axis of its arguments, so that the rows along it can be taken a block at a time.

Rows are the entries along the axes whose dimension is the one in question; ``axes`` gives that axis, counted from the right, for each argument
that has it. An operation may *keep* rows, each row of its result being made of the same rows of its arguments, or *add them up*, so that its
result is the sum over blocks, or their maximum or the like. Of any other nothing is said, and it takes all rows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import cast as typing_cast

from dsl.nodes import Apply, Node, applies, apply, const
from dsl.ops.along import IN_PARTS, SOFTMAX_AND_PICKED
from dsl.ops.broadcasting import SUM, settings
from dsl.ops.contraction import EINSUM, split_spec
from dsl.ops.core import div
from dsl.ops.elementwise import ew
from dsl.ops.indexing import FULL
from dsl.ops.making import ARANGE, size_of
from dsl.types import ONE, ZERO, Dim, product

Axes = Mapping[Node, int]


def axis_of_rows(node: Node, dim: Dim) -> int | None:
    """The axis along which a node has rows, counted from the right; None where it has none. Raises ValueError where it has several, or so many times as
    many along another, which is not what a block has there."""
    shape = node.type.shape or ()
    found = [i - len(shape) for i, each in enumerate(shape) if each == dim]
    if len(found) > 1 or (found and any(each != dim and (times := each.divided(dim)) is not None and times.terms for each in shape)):
        raise ValueError
    return found[0] if found else None


def keeps_rows(node: Apply, axes: Axes, dim: Dim, places: Container[Node] = ()) -> bool:
    """Whether each row of the result is made of the same rows of the arguments. ``places`` are index arrays that count the rows."""
    axis = axis_of_rows(node, dim)
    if axis is None:
        return False
    if node.op.elementwise or (node.op.alias and len(node.args) == 1) or node.op.name == "broadcast_to":
        return all(_has_or_shares(arg, axis, axes) for arg in node.args)
    rule = _KEEPS.get(node.op.name)
    return rule is not None and rule(node, axes, places)


# what goes along axes of its only argument, and says which by their places from the right
ALONG = ("sum", "mean", "max", "min", "prod", "any", "all", "logsumexp", "softmax", "log_softmax", "softmax_and_log", "softmax_and_logsumexp", "norm")
# what makes one of two blocks' results; of all others it is their sum
JOINED = {"max": "np.maximum", "min": "np.minimum", "logsumexp": "np.logaddexp", "any": "np.logical_or", "all": "np.logical_and"}


def added_up(node: Apply, axes: Axes) -> Node | None:
    """What a block of rows gives to a result that is made of what the blocks give, as a sum is; None where it is not so made."""
    if node.op is EINSUM:
        return node if _einsum(node, axes, ()) else None
    if node.op.name not in ("sum", "mean", "var", *JOINED):
        return None
    x = node.args[0]
    reduced, keepdims = settings(dict(node.attrs))
    if reduced is not None and axes[x] not in reduced:
        return None
    if node.op is SUM or node.op.name in JOINED:
        return node
    terms = x if node.op.name == "mean" else ew("power", node.args[1], const(2))
    count = size_of(x, reduced)
    degrees = ew("subtract", count, const(int(str(node.attr("ddof"))))) if node.op.name == "var" and node.attr("ddof") else count
    return div(apply(SUM, terms, axes=reduced, keepdims=keepdims), degrees)


def _has_or_shares(arg: Node, axis: int, axes: Axes) -> bool:
    """Whether an argument has the rows along the axis, or an entry there that all rows share. One that has them under another name, which only a
    call shows to be the same, does neither."""
    shape = arg.type.shape or ()
    return axes[arg] == axis if arg in axes else len(shape) < -axis or shape[axis] == ONE


# what keeps rows -----------------------------------------------------------------------------------------------------


def goes_along(node: Apply, axes: Container[int]) -> bool:
    """Whether an operation along some axes, or along all, goes along one of these."""
    attrs = dict(node.attrs)
    along = attrs["axes"] if "axes" in attrs else attrs["axis"]
    return along is None or any(axis in axes for axis in (along if isinstance(along, tuple) else (along,)))


def _along_others(node: Apply, axes: Axes, places: Container[Node]) -> bool:
    """An operation along some axes, the rows' not among them."""
    return len(set(axes.values())) == 1 and len(axes) == len(node.args) and not goes_along(node, axes.values())


def _stack(node: Apply, axes: Axes, places: Container[Node]) -> bool:
    return len(axes) == len(node.args) and len(set(axes.values())) == 1


def _matrices(node: Apply, axes: Axes, places: Container[Node]) -> bool:
    """An operation on the last two axes of each argument."""
    return len(axes) == len(node.args) and len(set(axes.values())) == 1 and max(axes.values()) < -2


def _einsum(node: Apply, axes: Axes, places: Container[Node]) -> bool:
    """One label runs over the rows, of every operand that has it (see _has_or_shares)."""
    terms, _ = split_spec(str(node.attr("spec")))
    labels = {term[axes[arg]] for term, arg in zip(terms, node.args, strict=True) if arg in axes}
    return len(labels) == 1 and all(arg in axes or labels.isdisjoint(term) for term, arg in zip(terms, node.args, strict=True))


def _reshape(node: Apply, axes: Axes, places: Container[Node]) -> bool:
    """As many entries stand before the rows' axis as did."""
    (x,) = node.args
    old, new = x.type.known, node.type.known
    if x not in axes:
        return False
    at = new.index(old[axes[x]])
    return product(old[: len(old) + axes[x]]) == product(new[:at])


def _index(node: Apply, axes: Axes, places: Container[Node]) -> bool:
    """All rows are taken, or an array beside others that have rows counts them, or arrays with rows pick from something without."""
    x, *arrays = node.args
    if x not in axes:
        return len({axes[each] for each in arrays if each in axes}) == 1
    return _whole_or_counted(_items_of_axes(node)[axes[x]], arrays, axes, places)


def _scatter(node: Apply, axes: Axes, places: Container[Node]) -> bool:
    g, *arrays = node.args
    if g not in axes:
        return False
    shape = node.type.known
    return _whole_or_counted(_items_of_axes(node)[shape.index(g.type.known[axes[g]]) - len(shape)], arrays, axes, places)


def _items_of_axes(node: Apply) -> dict[int, tuple[object, ...]]:
    """The item of an index for each axis, counted from the right, of the array that it picks from or is put into."""
    rank = len(node.type.known if node.op.name == "scatter" else node.args[0].type.known)
    items = [item for item in typing_cast("tuple[tuple[object, ...], ...]", node.attr("items")) if item[0] != "newaxis"]
    return {i - rank: items[i] if i < len(items) else FULL for i in range(rank)}


def _whole_or_counted(item: tuple[object, ...], arrays: list[Node], axes: Axes, places: Container[Node]) -> bool:
    along = {axes[each] for each in arrays if each in axes}
    if item == FULL or not along:
        return item == FULL and not along
    counted = item[0] == "array" and arrays[int(str(item[1]))] in places
    return counted and all(_has_or_shares(each, axis, axes) for each in arrays for axis in along)


def _pad(node: Apply, axes: Axes, places: Container[Node]) -> bool:
    widths = typing_cast("tuple[tuple[Dim, Dim], ...]", node.attr("widths"))
    return all(each == ZERO for each in widths[axes[node.args[0]]])


def _windows(node: Apply, axes: Axes, places: Container[Node]) -> bool:
    """Windows lie over the last axes."""
    span = len(typing_cast("tuple[object, ...]", node.attr("size"))) * (2 if node.op.name == "unwindows" else 1)
    return axes[node.args[0]] < -span


def _part(node: Apply, axes: Axes, places: Container[Node]) -> bool:
    """A result of what keeps rows itself."""
    whole = node.args[0]
    if not isinstance(whole, Apply) or whole.op not in IN_PARTS:
        return False
    if whole.op is SOFTMAX_AND_PICKED:
        return axes[whole] != whole.attr("axis")
    return whole.op.elementwise or _along_others(whole, {whole.args[0]: axes[whole]}, places)


def _picked(node: Apply, axes: Axes, places: Container[Node]) -> bool:
    """An entry of each row along an axis is picked where an array of the same rows says; rows beyond that array's axes go along."""
    x, place = node.args
    if x not in axes:
        return False
    rank, own = len(x.type.known), len(place.type.known)
    at, picked = axes[x] + rank, int(str(node.attr("axis"))) + rank
    there = at - (at > picked)
    return at != picked and axes.get(place) == (there - own if there < own else None)


Keeps = Callable[[Apply, Axes, Container[Node]], bool]
_KEEPS: dict[str, Keeps] = {
    **dict.fromkeys((*ALONG, "var", "prod_others", "argmax", "argmin", "cumsum", "cumprod"), _along_others),
    **dict.fromkeys(("argsort", "sort", "flip", "roll", "concatenate", "take_along_axis"), _along_others),
    **dict.fromkeys(("inv", "det", "cofactor", "solve", "cholesky", "pinv"), _matrices),
    **dict.fromkeys(("windows", "unwindows"), _windows),
    "part": _part,
    "softmax_and_picked": _picked,
    "stack": _stack,
    "einsum": _einsum,
    "reshape": _reshape,
    "index": _index,
    "scatter": _scatter,
    "pad": _pad,
}


def counts(node: Node, dim: Dim) -> bool:
    """Whether a node is 0, 1, 2, … for each row, along whatever axis."""
    if applies(node, "reshape") and len([each for each in node.type.known if each != ONE]) == 1:
        node = node.args[0]
    return isinstance(node, Apply) and node.op is ARANGE and dict(node.attrs) == {"start": ZERO, "stop": dim, "step": ONE}


__all__ = ["ALONG", "JOINED", "Axes", "added_up", "axis_of_rows", "counts", "goes_along", "keeps_rows"]
