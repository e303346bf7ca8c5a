"""Indexing as NumPy has it, and its adjoint. An index is a tuple of items: ``("int", i)``, ``("slice", start, stop, step)``,
``("newaxis",)``, ``("array", k)`` where k counts the index arrays among the arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast as typing_cast

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply
from dsl.ops.core import shape_of
from dsl.ops.spec import ATOM, Op, Printer, Text
from dsl.types import ONE, Dim, Shape, ShapeError, TensorType, broadcast, require, same

Item = tuple[object, ...]
ZERO = Dim.number(0)
FULL: Item = ("slice", None, None, 1)


def normalise_int(index: Dim, size: Dim) -> Dim:
    """Check an integer index against its axis; the same index. Raises ShapeError where it is out of range."""
    number, length = index.constant, size.constant
    if number is not None and length is not None and not -length <= number < length:
        raise ShapeError(Code.E0308, f"index {number} is out of range for an axis of {length}", "{0}", f"indices go from {-length} to {length - 1}")
    if number is not None and length is None:
        require(size, ">=", Dim.number(number + 1 if number >= 0 else -number), f"index {number} must be in range")
    return index


def slice_size(start: Dim | None, stop: Dim | None, step: int, size: Dim) -> Dim:
    """How many entries a slice takes. Of a symbolic axis a slice is assumed to fit, and the head of the function checks it."""
    length = size.constant
    bounds = [None if each is None else each.constant for each in (start, stop)]
    if length is not None and all(a is None or b is not None for a, b in zip((start, stop), bounds, strict=True)):
        return Dim.number(len(range(*slice(*bounds, step).indices(length))))
    low, high = (_bound(each, size) for each in (start, stop))
    if step > 0:
        first, last = low if low is not None else ZERO, high if high is not None else size
        span = last - first
    else:
        first, last = low if low is not None else size - 1, high if high is not None else Dim.number(-1)
        span = first - last
    for each in (low, high):
        if each is not None and (size - each).constant is None:
            require(size, ">=", each, "the slice must fit")
    if span.constant is not None and span.constant < 0:
        return ZERO
    return span if abs(step) == 1 else (span + (abs(step) - 1)) // abs(step)


def _bound(bound: Dim | None, size: Dim) -> Dim | None:
    if bound is None:
        return None
    number = bound.constant
    if number is not None and number < 0:
        require(size, ">=", Dim.number(-number), "the slice must fit")
        return size + number
    return bound


def result_shape(shape: Shape, items: Sequence[Item], arrays: Sequence[TensorType]) -> Shape:
    """The shape of an index: broadcast index arrays stand where the first one was, or in front where slices part them (NumPy's rule)."""
    result: list[Dim] = []
    axis, places = 0, []
    for position, item in enumerate(items):
        if item[0] == "newaxis":
            result.append(ONE)
        elif item[0] == "slice":
            start, stop, step = typing_cast("tuple[Dim | None, Dim | None, int]", item[1:])
            result.append(slice_size(start, stop, step, shape[axis]))
            axis += 1
        else:
            if item[0] == "int":
                normalise_int(typing_cast(Dim, item[1]), shape[axis])
            places.append((position, len(result)))
            axis += 1
    rest = shape[axis:]
    if not arrays:
        return (*result, *rest)
    gathered = broadcast(tuple(arrays))
    assert gathered is not None
    together = [position for position, _ in places] == list(range(places[0][0], places[0][0] + len(places)))
    at = places[0][1] if together else 0
    return (*result[:at], *gathered, *result[at:], *rest)


def _items(node: Apply) -> tuple[Item, ...]:
    return typing_cast("tuple[Item, ...]", node.attr("items"))


def _infer_index(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    items = typing_cast("tuple[Item, ...]", attrs["items"])
    return TensorType(types[0].dtype, result_shape(types[0].known, items, types[1:]))


def print_items(items: Sequence[Item], arrays: Sequence[Text], printer: Printer) -> list[str]:
    shown: list[str] = []
    for item in items:
        if item[0] == "newaxis":
            shown.append("None")
        elif item[0] == "int":
            shown.append(printer.dim(typing_cast(Dim, item[1])))
        elif item[0] == "array":
            shown.append(arrays[int(str(item[1]))].text)
        else:
            start, stop = ("" if each is None else printer.dim(typing_cast(Dim, each)) for each in item[1:3])
            step = "" if item[3] == 1 else f":{item[3]}"
            shown.append(f"{start}:{stop}{step}")
    return shown


def _emit_index(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    shown = print_items(_items(node), args[1:], printer)
    while len(shown) > 1 and shown[-1] == ":":
        shown.pop()
    return Text(f"{args[0].at(ATOM)}[{', '.join(shown)}]")


def _vjp_index(node: Apply, g: Node) -> Sequence[Node | None]:
    return (apply(SCATTER, g, *node.args[1:], items=_items(node), shape=shape_of(node.args[0])), *[None] * (len(node.args) - 1))


INDEX = Op("index", _infer_index, _emit_index, _vjp_index, linear=True)


def index(x: Node, items: Sequence[Item], arrays: Sequence[Node] = ()) -> Node:
    """``x[items]``, every item given and none an ellipsis."""
    used = sum(item[0] != "newaxis" for item in items)
    if used > len(shape_of(x, used)):
        raise ShapeError(Code.E0302, f"{used} indices for an array of {len(shape_of(x))} axes", f"{{0}} is {x.type}")
    if all(item == FULL for item in items):
        return x
    return apply(INDEX, x, *arrays, items=tuple(items))


def narrow(x: Node, axis: int, start: Dim, stop: Dim) -> Node:
    """The entries from start to stop along an axis counted from the right."""
    shape = shape_of(x)
    at = len(shape) + axis
    low = None if start == ZERO else start
    high = None if stop == shape[at] else stop
    return index(x, (*[FULL] * at, ("slice", low, high, 1)))


def pick(x: Node, axis: int, i: int) -> Node:
    """One entry along an axis counted from the right, which vanishes."""
    at = len(shape_of(x)) + axis
    return index(x, (*[FULL] * at, ("int", Dim.number(i))))


def _infer_scatter(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType(types[0].dtype, typing_cast(Shape, attrs["shape"]))


def _emit_scatter(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    parts = []
    for item, shown in zip(_items(node), print_items(_items(node), args[1:], printer), strict=True):
        if item[0] == "slice":
            bounds = ["None" if each is None else printer.dim(typing_cast(Dim, each)) for each in item[1:3]]
            parts.append("slice(None)" if item == FULL else f"slice({', '.join(bounds)}{'' if item[3] == 1 else f', {item[3]}'})")
        else:
            parts.append(shown)
    shape = ", ".join(map(printer.dim, node.type.known))
    where = ", ".join(parts) + ("," if len(parts) == 1 else "")
    helper = "_scatter" if _distinct(node) else "_scatter_add"
    return Text(f"{helper}(({shape}{',' if len(node.type.known) == 1 else ''}), ({where}), {args[0].text})")


def _distinct(node: Apply) -> bool:
    """Whether no entry is placed twice: there are only slices, or one of the index arrays counts the rows."""
    arrays = node.args[1:]
    return not arrays or any(isinstance(each, Apply) and each.op.name == "arange" and each.type.shape == arrays[0].type.shape for each in arrays)


def _vjp_scatter(node: Apply, g: Node) -> Sequence[Node | None]:
    return (index(g, _items(node), node.args[1:]), *[None] * (len(node.args) - 1))


SCATTER = Op("scatter", _infer_scatter, _emit_scatter, _vjp_scatter, linear=True)


def update(x: Node, items: Sequence[Item], arrays: Sequence[Node], value: Node, how: str) -> Node:
    """``x.at[items].set(value)`` or ``.add(value)``: x is left as it was."""
    from dsl.ops.core import add, number, where
    from dsl.ops.elementwise import cast
    from dsl.ops.shaping import broadcast_to

    target = result_shape(shape_of(x), items, [each.type for each in arrays])
    placed = apply(SCATTER, broadcast_to(cast(value, x.type.dtype), target), *arrays, items=tuple(items), shape=shape_of(x))
    if how == "add":
        return add(x, placed)
    touched = apply(SCATTER, broadcast_to(number(1), target), *arrays, items=tuple(items), shape=shape_of(x))
    from dsl.ops.elementwise import ew

    return where(ew("greater", touched, number(0)), placed, x)


__all__ = ["FULL", "INDEX", "SCATTER", "Item", "index", "narrow", "pick", "same", "update"]
