"""Primitives that move entries and compute nothing: reshape, broadcast, join, place on or take from a diagonal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast as typing_cast

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply
from dsl.ops.core import shape_of, typed
from dsl.ops.spec import ATOM, Op, Printer, Text
from dsl.types import ONE, Dim, Shape, ShapeError, TensorType, join, product, same, shape_text


def dims(value: object) -> Shape:
    return typing_cast(Shape, value)


def _tuple(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


# reshape ------------------------------------------------------------------------------------------------------------


def _infer_reshape(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    shape = dims(attrs["shape"])
    before, after = product(types[0].known), product(shape)
    if not same(before, after):
        raise ShapeError(Code.E0305, f"{before} entries do not fit into {shape_text(shape)}, which has {after}", f"{{0}} is {types[0]}")
    return typed(types[0], shape)


def _emit_reshape(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    old, new = node.args[0].type.known, node.type.known
    inserted = _newaxes(old, new)
    if inserted is not None:
        return Text(f"{args[0].at(ATOM)}[{', '.join(inserted)}]")
    if len(new) == 1:
        return Text(f"{args[0].at(ATOM)}.reshape(-1)")
    return Text(f"{args[0].at(ATOM)}.reshape({', '.join(map(printer.dim, new))})")


def _newaxes(old: Shape, new: Shape) -> list[str] | None:
    """The index that only inserts axes of size 1, if that is all a reshape does."""
    if len(new) <= len(old):
        return None
    parts: list[str] = []
    rest = list(old)
    for i, dim in enumerate(new):
        if rest and dim == rest[0] and not (dim == ONE and len(new) - i > len(rest)):
            parts.append(":")
            rest.pop(0)
        elif dim == ONE:
            parts.append("None")
        else:
            return None
    while parts and parts[-1] == ":":
        parts.pop()
    return None if rest else parts


def _vjp_reshape(node: Apply, g: Node) -> Sequence[Node | None]:
    return (reshape(g, node.args[0].type.known),)


RESHAPE = Op("reshape", _infer_reshape, _emit_reshape, _vjp_reshape, linear=True)


def reshape(x: Node, shape: Shape) -> Node:
    return x if shape_of(x) == shape else apply(RESHAPE, x, shape=shape)


# broadcast_to --------------------------------------------------------------------------------------------------------


def _infer_broadcast(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    shape, old = dims(attrs["shape"]), types[0].known
    if len(old) > len(shape):
        raise ShapeError(Code.E0301, f"{types[0]} does not broadcast to {shape_text(shape)}", f"{{0}} is {types[0]}")
    for mine, wanted in zip(reversed(old), reversed(shape), strict=False):
        try:
            fits = mine == ONE or join(mine, wanted) == wanted or mine.flexible
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(Code.E0301, f"{types[0]} does not broadcast to {shape_text(shape)}", f"{{0}} is {types[0]}")
    return typed(types[0], shape)


def _emit_broadcast(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    shape = _tuple([printer.dim(dim) for dim in node.type.known])
    if node.args[0].type.shape == ():
        if node.args[0].type.weak:
            dtype = {"float": printer.dtype, "int": "np.int64", "bool": "np.bool_"}[node.type.dtype]
            makers = {"0": "zeros", "1": "ones", "0.0": "zeros", "1.0": "ones"}
            if args[0].text in makers:
                return Text(f"np.{makers[args[0].text]}({shape}, dtype={dtype})")
            return Text(f"np.full({shape}, {args[0].text}, dtype={dtype})")
        return Text(f"np.full({shape}, {args[0].text}, dtype={printer.dtype})") if node.type.dtype == "float" else Text(f"np.full({shape}, {args[0].text})")
    return Text(f"np.broadcast_to({args[0].text}, {shape})")


def _vjp_broadcast(node: Apply, g: Node) -> Sequence[Node | None]:
    from dsl.ops.reduction import sum_to

    return (sum_to(g, node.args[0]),)


BROADCAST = Op("broadcast_to", _infer_broadcast, _emit_broadcast, _vjp_broadcast, linear=True)


def broadcast_to(x: Node, shape: Shape) -> Node:
    return x if shape_of(x) == shape else apply(BROADCAST, x, shape=shape)


# spread: a broadcast whose target shape is known only at run time ----------------------------------------------------


def _infer_like(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return replace(types[1], dtype=types[0].dtype, weak=False)


def _emit_spread(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    if node.args[0].type.shape == ():
        return Text(f"np.full_like({args[1].text}, {args[0].text})")
    return Text(f"np.broadcast_to({args[0].text}, {printer.shape(node.args[1])})")


def _vjp_spread(node: Apply, g: Node) -> Sequence[Node | None]:
    from dsl.ops.reduction import sum_to

    return sum_to(g, node.args[0]), None


SPREAD = Op("spread", _infer_like, _emit_spread, _vjp_spread, linear=True)


def spread(x: Node, like: Node) -> Node:
    """x broadcast to the shape of ``like``."""
    if x.type.matches(like.type):
        return x
    if like.type.shape is not None and x.type.shape is not None:
        return broadcast_to(x, like.type.shape)
    return apply(SPREAD, x, like)


# concatenate, stack --------------------------------------------------------------------------------------------------


def _infer_concatenate(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    axis = int(str(attrs["axis"]))
    first = types[0].known
    total = Dim.number(0)
    for i, each in enumerate(types):
        shape = each.known
        if len(shape) != len(first):
            raise ShapeError(Code.E0302, f"arrays of {len(first)} and {len(shape)} axes cannot be joined", f"{{0}} is {types[0]}, {{{i}}} is {each}")
        for k in range(-len(first), 0):
            if k != axis and not same(first[k], shape[k]):
                raise ShapeError(
                    Code.E0305, f"arrays to join differ beside the axis: {first[k]} and {shape[k]}", f"{{0}} is {types[0]}, {{{i}}} is {each}"
                )
        total = total + shape[axis]
    dtype = max((each.dtype for each in types), key=("bool", "int", "float").index)
    at = len(first) + axis
    return TensorType(dtype, (*first[:at], total, *first[at + 1 :]))


def _emit_concatenate(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    axis = int(str(node.attr("axis"))) + len(node.type.known)
    where = f", axis={axis}" if axis else ""
    return Text(f"np.concatenate({_tuple([arg.text for arg in args])}{where})")


def _vjp_concatenate(node: Apply, g: Node) -> Sequence[Node | None]:
    from dsl.ops.indexing import narrow

    axis, start = int(str(node.attr("axis"))), Dim.number(0)
    parts: list[Node | None] = []
    for arg in node.args:
        size = arg.type.known[axis]
        parts.append(narrow(g, axis, start, start + size) if arg.type.dtype == "float" else None)
        start = start + size
    return parts


CONCATENATE = Op("concatenate", _infer_concatenate, _emit_concatenate, _vjp_concatenate, linear=True)


def concatenate(args: Sequence[Node], axis: int) -> Node:
    return args[0] if len(args) == 1 else apply(CONCATENATE, *args, axis=axis)


def _infer_stack(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    first = types[0].known
    for i, each in enumerate(types):
        if len(each.known) != len(first) or not all(map(same, first, each.known)):
            raise ShapeError(Code.E0305, "arrays to stack have different shapes", f"{{0}} is {types[0]}, {{{i}}} is {each}")
    dtype = max((each.dtype for each in types), key=("bool", "int", "float").index)
    at = len(first) + 1 + int(str(attrs["axis"]))
    return TensorType(dtype, (*first[:at], Dim.number(len(types)), *first[at:]))


def _emit_stack(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    axis = int(str(node.attr("axis"))) + len(node.type.known)
    if len(node.type.known) == 1 and all(arg.type.weak for arg in node.args):
        return Text(f"np.array([{', '.join(arg.text for arg in args)}]{', dtype=' + printer.dtype if node.type.dtype == 'float' else ''})")
    where = f", axis={axis}" if axis else ""
    return Text(f"np.stack({_tuple([arg.text for arg in args])}{where})")


def _vjp_stack(node: Apply, g: Node) -> Sequence[Node | None]:
    from dsl.ops.indexing import pick

    axis = int(str(node.attr("axis")))
    return [pick(g, axis, i) if arg.type.dtype == "float" else None for i, arg in enumerate(node.args)]


STACK = Op("stack", _infer_stack, _emit_stack, _vjp_stack, linear=True)


def stack(args: Sequence[Node], axis: int) -> Node:
    return apply(STACK, *args, axis=axis)
