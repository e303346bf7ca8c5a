"""Reductions and running reductions. Axes in ``attrs`` are counted from the right; None is all of them, of any rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast as typing_cast

from dsl.nodes import Apply, Node, apply
from dsl.ops.core import add, axes_of, axis_of, div, mul, neg, number, shape_of, sub, where
from dsl.ops.elementwise import cast, ew
from dsl.ops.making import size_of
from dsl.ops.shaping import reshape, spread
from dsl.ops.spec import ATOM, Op, Printer, Text
from dsl.types import ONE, Shape, TensorType

Axes = tuple[int, ...] | None


def _settings(attrs: Mapping[str, object]) -> tuple[Axes, bool]:
    return typing_cast(Axes, attrs["axes"]), bool(attrs["keepdims"])


def _reduced(shape: Shape | None, axes: Axes, keepdims: bool) -> Shape | None:
    if axes is None:
        return () if not keepdims else None
    assert shape is not None
    rank = len(shape)
    return tuple(
        ONE if i - rank in axes else dim for i, dim in enumerate(shape) if keepdims or i - rank not in axes
    )


def _infer_float(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("float", _reduced(types[0].shape, *_settings(attrs)))


def _infer_same(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType(types[0].dtype, _reduced(types[0].shape, *_settings(attrs)))


def _infer_sum(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    dtype = "float" if types[0].dtype == "float" else "int"
    return TensorType(dtype, _reduced(types[0].shape, *_settings(attrs)))


def _infer_bool(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("bool", _reduced(types[0].shape, *_settings(attrs)))


def _infer_index(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("int", _reduced(types[0].shape, *_settings(attrs)))


def _arguments(node: Apply) -> list[str]:
    """``axis=`` and ``keepdims=`` as NumPy takes them, counted from the left as people do."""
    axes, keepdims = _settings(dict(node.attrs))
    shown: list[str] = []
    shape = node.args[0].type.shape
    if axes is not None and shape is not None and (keepdims or len(axes) < len(shape)):
        rank = len(shape)
        positive = [axis + rank for axis in axes]
        where = [axis if axis == -1 and rank > 1 else left for axis, left in zip(axes, positive, strict=True)]
        shown.append(f"axis={where[0] if len(where) == 1 else tuple(positive)}")
    if keepdims:
        shown.append("keepdims=True")
    return shown


def _method(name: str) -> object:
    def emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
        return Text(f"{args[0].at(ATOM)}.{name}({', '.join(_arguments(node))})")

    return emit


def _helper(name: str) -> object:
    def emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
        return Text(f"{name}({', '.join([args[0].text, *_arguments(node)])})")

    return emit


def restore(x: Node, node: Apply) -> Node:
    """A reduction's result or cotangent with the reduced axes put back as size 1, so that it broadcasts against the argument."""
    axes, keepdims = _settings(dict(node.attrs))
    shape = node.args[0].type.shape
    if keepdims or shape is None or axes is None or len(axes) == len(shape):
        return x
    rank = len(shape)
    return reshape(x, tuple(ONE if i - rank in axes else dim for i, dim in enumerate(shape)))


def _vjp_sum(node: Apply, g: Node) -> Sequence[Node | None]:
    return (spread(restore(g, node), node.args[0]),)


def _vjp_mean(node: Apply, g: Node) -> Sequence[Node | None]:
    axes, _ = _settings(dict(node.attrs))
    return (spread(restore(div(g, size_of(node.args[0], axes)), node), node.args[0]),)


def _vjp_extreme(node: Apply, g: Node) -> Sequence[Node | None]:
    axes, _ = _settings(dict(node.attrs))
    x = node.args[0]
    tied = ew("equal", x, restore(node, node))
    share = div(restore(g, node), cast(reduce("sum", tied, axes, True), "float"))
    return (where(tied, share, number(0.0)),)


def _vjp_prod(node: Apply, g: Node) -> Sequence[Node | None]:
    axes, _ = _settings(dict(node.attrs))
    return (mul(restore(g, node), apply(PROD_OTHERS, node.args[0], axes=axes, keepdims=True)),)


def _vjp_logsumexp(node: Apply, g: Node) -> Sequence[Node | None]:
    return (mul(restore(g, node), ew("exp", sub(node.args[0], restore(node, node)))),)


def _vjp_norm(node: Apply, g: Node) -> Sequence[Node | None]:
    zero = ew("equal", node, number(0))
    scale = where(zero, number(0.0), div(g, where(zero, number(1.0), node)))
    return (mul(restore(scale, node), node.args[0]),)


def _emit_norm(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    shown = _arguments(node)
    if not shown and len(node.args[0].type.known) != 1:
        return Text(f"np.linalg.norm({args[0].at(ATOM)}.ravel())")
    return Text(f"np.linalg.norm({', '.join([args[0].text, *shown])})")


def _op(name: str, infer: object, emit: object, vjp: object = None, linear: bool = False) -> Op:
    return Op(name, infer, emit, vjp, linear=linear)  # type: ignore[arg-type]


def _infer_unchanged(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return replace(types[0], weak=False)


PROD_OTHERS = _op("prod_others", _infer_unchanged, _helper("_prod_others"))

REDUCTIONS: Mapping[str, Op] = {
    op.name: op
    for op in (
        _op("sum", _infer_sum, _method("sum"), _vjp_sum, linear=True),
        _op("mean", _infer_float, _method("mean"), _vjp_mean, linear=True),
        _op("prod", _infer_same, _method("prod"), _vjp_prod),
        _op("max", _infer_same, _method("max"), _vjp_extreme),
        _op("min", _infer_same, _method("min"), _vjp_extreme),
        _op("any", _infer_bool, _method("any")),
        _op("all", _infer_bool, _method("all")),
        _op("argmax", _infer_index, _method("argmax")),
        _op("argmin", _infer_index, _method("argmin")),
        _op("logsumexp", _infer_float, _helper("_logsumexp"), _vjp_logsumexp),
        _op("norm", _infer_float, _emit_norm, _vjp_norm),
    )
}


def reduce(name: str, x: Node, axis: object = None, keepdims: bool = False) -> Node:
    """A reduction over an axis, several, or all (None, which works for any rank)."""
    op = REDUCTIONS[name]
    if name in ("mean", "logsumexp", "norm"):
        x = cast(x, "float")
    axes: Axes = None
    if axis is not None:
        axes = axes_of(axis, len(shape_of(x)))
    elif keepdims or x.type.shape is not None:
        axes = axes_of(None, len(shape_of(x)))
    return apply(op, x, axes=axes, keepdims=keepdims)


def sum_to(g: Node, like: Node) -> Node:
    """A cotangent summed back over the axes along which ``like`` was broadcast, so that it has exactly its shape."""
    have, want = g.type.shape, like.type.shape
    if have is None or want is None:
        return g if g.type.matches(like.type) else apply(UNBROADCAST, g, like)
    if have == want:
        return g
    if len(have) < len(want):
        return spread(g, like)
    extra = len(have) - len(want)
    if any(dim != old and dim.flexible and dim != ONE for dim, old in zip(want, have[extra:], strict=True)):
        return apply(UNBROADCAST, g, like)
    rank = len(have)
    axes = tuple(i - rank for i in range(rank) if i < extra or (want[i - extra] == ONE and have[i] != ONE))
    if axes:
        g = reduce("sum", g, axes)
    if g.type.shape != want and all(a == b or b == ONE for a, b in zip(want[-len(g.type.known) :], g.type.known, strict=False)):
        return spread(reshape(g, g.type.known), like) if len(g.type.known) == len(want) else reshape(g, want)
    return reshape(g, want)


def _infer_unbroadcast(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return replace(types[1], dtype=types[0].dtype, weak=False)


def _emit_unbroadcast(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"_unbroadcast({args[0].text}, {printer.shape(node.args[1])})")


def _vjp_unbroadcast(node: Apply, g: Node) -> Sequence[Node | None]:
    return spread(g, node.args[0]), None


UNBROADCAST = Op("unbroadcast", _infer_unbroadcast, _emit_unbroadcast, _vjp_unbroadcast, linear=True)


# along one axis ------------------------------------------------------------------------------------------------------


def _axis(node: Apply) -> int:
    return int(str(node.attr("axis")))


def _along(template: str) -> object:
    def emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
        return Text(template.format(x=args[0].text, axis=_axis(node)))

    return emit


def _infer_along(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return replace(types[0], dtype="int" if types[0].dtype == "bool" else types[0].dtype, weak=False)


def _vjp_softmax(node: Apply, g: Node) -> Sequence[Node | None]:
    inner = reduce("sum", mul(g, node), _axis(node), keepdims=True)
    return (mul(node, sub(g, inner)),)


def _vjp_log_softmax(node: Apply, g: Node) -> Sequence[Node | None]:
    total = reduce("sum", g, _axis(node), keepdims=True)
    return (sub(g, mul(ew("exp", node), total)),)


def _vjp_cumsum(node: Apply, g: Node) -> Sequence[Node | None]:
    return (flip(along("cumsum", flip(g, _axis(node)), _axis(node)), _axis(node)),)


def _emit_flip(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    axis = _axis(node) + len(node.type.known)
    return Text(f"{args[0].at(ATOM)}[{':, ' * axis}::-1]")


def _vjp_flip(node: Apply, g: Node) -> Sequence[Node | None]:
    return (flip(g, _axis(node)),)


def _vjp_cumprod(node: Apply, g: Node) -> Sequence[Node | None]:
    """O(n²) in the length, and right also where an entry is zero: each prefix product is written out as a product over a triangle."""
    from dsl.ops.making import arange

    x, axis = node.args[0], _axis(node)
    shape = shape_of(x)
    rank = len(shape)
    n = shape[axis]
    at = rank + axis
    rows = reshape(arange(n), tuple(n if i == at else ONE for i in range(rank + 1)))
    columns = reshape(arange(n), tuple(n if i == at + 1 else ONE for i in range(rank + 1)))
    triangle = where(ew("less_equal", columns, rows), reshape(x, (*shape[:at], ONE, *shape[at:])), number(1.0))
    others = apply(PROD_OTHERS, triangle, axes=(axis,), keepdims=True)
    spread_g = mul(reshape(g, (*shape[: at + 1], ONE, *shape[at + 1 :])), others)
    return (reduce("sum", where(ew("less_equal", columns, rows), spread_g, number(0.0)), axis - 1),)


ALONG: Mapping[str, Op] = {
    op.name: op
    for op in (
        _op("softmax", _infer_along, _along("_softmax({x}, axis={axis})"), _vjp_softmax),
        _op("log_softmax", _infer_along, _along("_log_softmax({x}, axis={axis})"), _vjp_log_softmax),
        _op("cumsum", _infer_along, _along("np.cumsum({x}, axis={axis})"), _vjp_cumsum, linear=True),
        _op("cumprod", _infer_along, _along("np.cumprod({x}, axis={axis})"), _vjp_cumprod),
        _op("flip", _infer_along, _emit_flip, _vjp_flip, linear=True),
    )
}


def along(name: str, x: Node, axis: object) -> Node:
    """An operation that keeps the shape and works along one axis."""
    rank = len(shape_of(x))
    if name in ("softmax", "log_softmax"):
        x = cast(x, "float")
    return apply(ALONG[name], x, axis=axis_of(axis, rank))


def flip(x: Node, axis: int) -> Node:
    return along("flip", x, axis)


__all__ = ["ALONG", "REDUCTIONS", "add", "along", "flip", "neg", "reduce", "sum_to"]
