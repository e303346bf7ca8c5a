"""Windows of an array and their adjoint, and the convolution of two vectors.

A window op works over the last n axes, counted from the right: ``[..., *axes]`` becomes ``[..., *size, *positions]``, a strided view, so
that a convolution is one contraction over the size axes and pooling a reduction over them. Its adjoint adds the windows back where they
overlap, in a loop over the few places within a window and never over positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import NamedTuple
from typing import cast as typing_cast

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply
from dsl.ops.broadcasting import tuple_text
from dsl.ops.contraction import einsum
from dsl.ops.core import shape_of
from dsl.ops.indexing import FULL, index
from dsl.ops.moving import flip
from dsl.ops.shaping import PAD
from dsl.ops.spec import Op, Printer, Text
from dsl.types import ZERO, Dim, Shape, ShapeError, TensorType, require

Steps = tuple[int, ...]
Pairs = tuple[tuple[Dim, Dim], ...]


class Window(NamedTuple):
    """The geometry of windows: per axis the size, the step between windows, the step within one, and the padding before and after."""

    size: Shape
    stride: Steps
    dilation: Steps
    padding: Pairs

    def positions(self, axes: Shape) -> Shape:
        """How many windows fit along each axis: (n + padding - dilation (size - 1) - 1) // stride + 1. Raises ShapeError for none."""
        return tuple(_fits(*each) for each in zip(axes, *self, strict=True))


def _fits(axis: Dim, size: Dim, stride: int, dilation: int, padding: tuple[Dim, Dim]) -> Dim:
    whole, span = axis + padding[0] + padding[1], (size - 1) * dilation + 1
    room = whole - span
    if room.constant is not None and room.constant < 0:
        raise ShapeError(Code.E0305, f"a window of {span} does not fit into an axis of {whole}", "{0}", "use a smaller kernel, or padding")
    if room.constant is None:
        require(whole, ">=", span, "a window must fit")
    return (room + stride) // stride


def _window(attrs: Mapping[str, object]) -> Window:
    size, stride, dilation, padding = (attrs[name] for name in Window._fields)
    return Window(typing_cast(Shape, size), typing_cast(Steps, stride), typing_cast(Steps, dilation), typing_cast(Pairs, padding))


def _infer_windows(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    window = _window(attrs)
    shape, n = types[0].known, len(window.size)
    return TensorType(types[0].dtype, (*shape[:-n], *window.size, *window.positions(shape[-n:])))


def _settings(node: Apply, printer: Printer) -> list[str]:
    """``stride=…, dilation=…, padding=…``, each where it is not the default."""
    window = _window(dict(node.attrs))
    shown = [
        f"{name}={tuple_text([str(each) for each in steps])}"
        for name, steps in (("stride", window.stride), ("dilation", window.dilation))
        if any(each != 1 for each in steps)
    ]
    if any(each.constant != 0 for pair in window.padding for each in pair):
        shown.append(f"padding={tuple_text([tuple_text([printer.dim(each) for each in pair]) for pair in window.padding])}")
    return shown


def _emit_windows(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    size = tuple_text([printer.dim(each) for each in _window(dict(node.attrs)).size])
    fill = ["fill=-np.inf"] if node.attr("lowest") else []
    return Text(f"_windows({', '.join([args[0].text, size, *_settings(node, printer), *fill])})")


def _vjp_windows(node: Apply, g: Node) -> Sequence[Node | None]:
    window = _window(dict(node.attrs))
    return (unwindows(g, window, shape_of(node.args[0])[-len(window.size) :]),)


WINDOWS = Op("windows", _infer_windows, _emit_windows, _vjp_windows, linear=True, view=True)


def windows(x: Node, window: Window, lowest: bool = False) -> Node:
    """The windows over x's last axes, padded with 0, or with -inf for a maximum."""
    return apply(WINDOWS, x, lowest=lowest, **window._asdict())


def _infer_unwindows(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    axes = typing_cast(Shape, attrs["axes"])
    return TensorType(types[0].dtype, (*types[0].known[: -2 * len(axes)], *axes))


def _emit_unwindows(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    axes = tuple_text([printer.dim(each) for each in typing_cast(Shape, node.attr("axes"))])
    return Text(f"_unwindows({', '.join([args[0].text, axes, *_settings(node, printer)])})")


def _vjp_unwindows(node: Apply, g: Node) -> Sequence[Node | None]:
    return (windows(g, _window(dict(node.attrs))),)


UNWINDOWS = Op("unwindows", _infer_unwindows, _emit_unwindows, _vjp_unwindows, linear=True)


def unwindows(g: Node, window: Window, axes: Shape) -> Node:
    """The transpose of ``windows``: entries added up where windows overlap, what fell on padding dropped."""
    return apply(UNWINDOWS, g, axes=axes, **window._asdict())


# convolution of two vectors ------------------------------------------------------------------------------------------


def _infer_convolve(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    (n,), (m,) = types[0].known, types[1].known
    return TensorType("float", ({"full": n + m - 1, "same": n, "valid": n - m + 1}[str(attrs["mode"])],))


def _emit_convolve(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    mode = node.attr("mode")
    shown = "" if mode == "full" else f', "{mode}"'
    return Text(f"np.convolve({args[0].text}, {args[1].text}{shown})")


def _vjp_convolve(node: Apply, g: Node) -> Sequence[Node | None]:
    """Correlations with the other operand, which are convolutions with it turned round."""
    a, v = node.args
    mode = str(node.attr("mode"))
    if mode == "full":
        return valid(g, flip(v, -1)), valid(g, flip(a, -1))
    (n,), (m,) = shape_of(a), shape_of(v)
    if mode == "valid":
        return full(g, flip(v, -1)), flip(valid(a, flip(g, -1)), -1)
    # "same" is "full" without its first (m - 1) // 2 entries, and without as many at its end as leave n
    late = (m - 1) // 2
    early = m - 1 - late
    wide = _padded(a, early, late)
    odd = (m - 1).divided(Dim.number(2)) is not None
    da = convolve(g, flip(v, -1), "same") if odd and len(shape_of(g)) == 1 else _cut(full(g, flip(v, -1)), early, n)
    return da, flip(valid(wide, flip(g, -1)), -1)


CONVOLVE = Op("convolve", _infer_convolve, _emit_convolve, _vjp_convolve, latex=r"{0} \ast {1}")


def convolve(a: Node, v: Node, mode: str) -> Node:
    """NumPy's convolution of two vectors, the first at least as long as the second."""
    return apply(CONVOLVE, a, v, mode=mode)


def valid(a: Node, v: Node) -> Node:
    """The convolution where the two overlap wholly. Either may have leading axes (a cotangent has, in a Jacobian)."""
    if len(shape_of(a)) == len(shape_of(v)) == 1:
        return convolve(a, v, "valid")
    wide = windows(a, Window((shape_of(v)[-1],), (1,), (1,), ((ZERO, ZERO),)))
    rank = max(len(shape_of(a)), len(shape_of(v))) - 1
    left, right = (ascii_lowercase[rank - len(shape_of(each)) + 1 : rank] for each in (a, v))
    return einsum(f"{left}yz,{right}y->{max(left, right, key=len)}z", wide, flip(v, -1))


def full(a: Node, v: Node) -> Node:
    """The convolution wherever the two overlap at all."""
    if len(shape_of(a)) == len(shape_of(v)) == 1:
        return convolve(a, v, "full")
    reach = shape_of(v)[-1] - 1
    return valid(_padded(a, reach, reach), v)


def _padded(x: Node, before: Dim, after: Dim) -> Node:
    """x with zeros before and after along its last axis."""
    lead = ((ZERO, ZERO),) * (len(shape_of(x)) - 1)
    return apply(PAD, x, widths=(*lead, (before, after)), mode="constant", fill=0)


def _cut(x: Node, start: Dim, count: Dim) -> Node:
    """``count`` entries from ``start`` along the last axis."""
    return index(x, (*[FULL] * (len(shape_of(x)) - 1), ("slice", start, start + count, 1)))


OPS = (WINDOWS, UNWINDOWS, CONVOLVE)

__all__ = ["OPS", "UNWINDOWS", "WINDOWS", "Window", "convolve", "full", "unwindows", "valid", "windows"]
