"""Values made from nothing but sizes: dimensions, ranges, identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast as typing_cast

from dsl.nodes import Apply, Node, apply, const
from dsl.ops.spec import Op, Printer, Text
from dsl.types import Dim, TensorType, product


def _dim(attrs: Mapping[str, object], name: str) -> Dim:
    return typing_cast(Dim, attrs[name])


def _emit_dim(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    dim = typing_cast(Dim, node.attr("dim"))
    text = printer.dim(dim)
    return Text(text if text.isidentifier() else f"({text})")


DIMENSION = Op("dimension", lambda types, attrs: TensorType("int", (), weak=True), _emit_dim)


def dimension(dim: Dim) -> Node:
    """A dimension as a number in the program."""
    number = dim.constant
    return const(number) if number is not None else apply(DIMENSION, dim=dim)


def dim_of(node: Apply) -> Dim:
    """The dimension that a ``dimension`` node is."""
    return typing_cast(Dim, node.attr("dim"))


def _emit_size(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"{args[0].text}.size")


SIZE = Op("size", lambda types, attrs: TensorType("int", (), weak=True), _emit_size)


def size_of(x: Node, axes: tuple[int, ...] | None) -> Node:
    """The number of entries along some axes, or in all."""
    shape = x.type.shape
    if shape is None:
        return apply(SIZE, x)
    return dimension(product(shape if axes is None else tuple(shape[axis] for axis in axes)))


def _infer_arange(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    start, stop, step = (_dim(attrs, key) for key in ("start", "stop", "step"))
    count = (stop - start + step - 1) // step if step.constant != 1 else stop - start
    if count.constant is not None and count.constant < 0:
        count = Dim.number(0)
    return TensorType("int", (count,))


def _emit_arange(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    start, stop, step = (typing_cast(Dim, node.attr(key)) for key in ("start", "stop", "step"))
    shown = [printer.dim(stop)]
    if start.constant != 0 or step.constant != 1:
        shown.insert(0, printer.dim(start))
    if step.constant != 1:
        shown.append(printer.dim(step))
    return Text(f"np.arange({', '.join(shown)})")


ARANGE = Op("arange", _infer_arange, _emit_arange)


def arange(stop: Dim, start: Dim | None = None, step: Dim | None = None) -> Node:
    return apply(ARANGE, start=start or Dim.number(0), stop=stop, step=step or Dim.number(1))


def _infer_eye(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("float", (_dim(attrs, "rows"), _dim(attrs, "columns")))


def _emit_eye(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    rows, columns = (printer.dim(typing_cast(Dim, node.attr(key))) for key in ("rows", "columns"))
    size = rows if rows == columns else f"{rows}, {columns}"
    k = node.attr("k")
    return Text(f"np.eye({size}{f', k={k}' if k else ''}, dtype={printer.dtype})")


EYE = Op("eye", _infer_eye, _emit_eye)


def eye(rows: Dim, columns: Dim | None = None, k: int = 0) -> Node:
    return apply(EYE, rows=rows, columns=rows if columns is None else columns, k=k)


def _emit_same(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return args[0]


STOP = Op("stop_gradient", lambda types, attrs: types[0], _emit_same)


def stop_gradient(x: Node) -> Node:
    return apply(STOP, x)
