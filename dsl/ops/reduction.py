"""Reductions. Axes in ``attrs`` are counted from the right; None is all of them, of any rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast as typing_cast

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply, const
from dsl.ops.along import along
from dsl.ops.broadcasting import (
    SUM,
    UNBROADCAST,
    over_indices,
    reduced,
    reduction_arguments,
    reduction_axes,
    reshape,
    restore,
    settings,
    spread,
    sum_to,
    total,
)
from dsl.ops.core import add, axis_of, div, mul, number, shape_of, sub, where
from dsl.ops.elementwise import cast, ew
from dsl.ops.making import size_of, stop_gradient
from dsl.ops.moving import flip
from dsl.ops.prods import PROD
from dsl.ops.spec import ATOM, PRODUCT, Emit, Function, Op, Printer, Text, function
from dsl.types import ONE, ShapeError, TensorType, product

# the operations ------------------------------------------------------------------------------------------------------


def _result(dtype: str) -> Callable[[tuple[TensorType, ...], Mapping[str, object]], TensorType]:
    return lambda types, attrs: TensorType(dtype, reduced(types[0].shape, *settings(attrs)))


def _infer_same(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType(types[0].dtype, reduced(types[0].shape, *settings(attrs)))


def _method(name: str) -> Emit:
    def emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
        return Text(f"{args[0].at(ATOM)}.{name}({', '.join(reduction_arguments(node))})")

    return emit


def _called(name: str) -> Emit:
    def emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
        return Text(f"{name}({', '.join([args[0].text, *reduction_arguments(node)])})")

    return emit


def _vjp_mean(node: Apply, g: Node) -> Sequence[Node | None]:
    axes, _ = settings(dict(node.attrs))
    return (spread(restore(div(g, size_of(node.args[0], axes)), node), node.args[0]),)


def _vjp_extreme(node: Apply, g: Node) -> Sequence[Node | None]:
    """Entries that tie share g."""
    axes, _ = settings(dict(node.attrs))
    x = node.args[0]
    tied = ew("equal", x, restore(node, node))
    share = div(restore(g, node), cast(total(tied, axes, keepdims=axes is not None), "float"))
    return (where(tied, share, number(0.0)),)


def _vjp_logsumexp(node: Apply, g: Node) -> Sequence[Node | None]:
    """g times the shares of the sum of exponentials, which are 0 where there is no such sum, for all entries are -inf."""
    return (mul(restore(g, node), ew("exp", sub(node.args[0], restore(ew("floored", node), node)))),)


def over(g: Node, length: Node) -> Node:
    """g / length, and 0 where the length is 0: there zero is a subgradient."""
    zero = ew("equal", length, number(0))
    return where(zero, number(0.0), div(g, where(zero, number(1.0), length)))


def _vjp_norm(node: Apply, g: Node) -> Sequence[Node | None]:
    return (mul(restore(over(g, node), node), node.args[0]),)


def _emit_var(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    squares, shown = f"np.square({args[1].text})", ", ".join(reduction_arguments(node))
    if node.attr("ddof") == 0:
        return Text(f"{squares}.mean({shown})")
    axes, shape = settings(dict(node.attrs))[0], node.args[0].type.shape
    count = f"{args[1].at(ATOM)}.size" if shape is None or axes is None else printer.dim(product(tuple(shape[axis] for axis in axes)))
    return Text(f"{squares}.sum({shown}) / ({count} - {node.attr('ddof')})", PRODUCT)


def degrees(node: Apply) -> Node:
    """What a variance divides by."""
    count = size_of(node.args[0], settings(dict(node.attrs))[0])
    return sub(count, const(int(str(node.attr("ddof"))))) if node.attr("ddof") else count


def _through_deviations(node: Apply, share: Node) -> Node:
    """The cotangent of x at once, of what each deviation from the mean is multiplied by. The part through the mean is zero, for the deviations sum to
    zero, but for rounding: where the mean is large, that would be multiplied by it further back."""
    deviations, axes = node.args[1], settings(dict(node.attrs))[0]
    share = restore(share, node)
    left = stop_gradient(reduce("mean", deviations, axes, keepdims=axes is not None))
    return mul(share, sub(deviations, left))


def _vjp_var(node: Apply, g: Node) -> Sequence[Node | None]:
    return _through_deviations(node, div(mul(number(2), g), degrees(node))), None


def _emit_std(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"np.sqrt({args[2].text})")


def _vjp_std(node: Apply, g: Node) -> Sequence[Node | None]:
    return _through_deviations(node, over(div(g, degrees(node)), node)), None, None


def _named(name: str) -> Emit:
    return over_indices(rf"\operatorname{{{name}}}")


# both take x, its deviations x - mean(x), and STD the variance too: nodes that other steps share
VAR = Op("var", _result("float"), _emit_var, _vjp_var, latex=_named("Var"))
STD = Op("std", _result("float"), _emit_std, _vjp_std, latex=_named("Std"))

REDUCTIONS: Mapping[str, Op] = {
    op.name: op
    for op in (
        SUM,
        Op("mean", _result("float"), _method("mean"), _vjp_mean, linear=True, latex=_named("mean")),
        PROD,
        Op("max", _infer_same, _method("max"), _vjp_extreme, latex=over_indices(r"\max")),
        Op("min", _infer_same, _method("min"), _vjp_extreme, latex=over_indices(r"\min")),
        Op("any", _result("bool"), _method("any"), latex=_named("any")),
        Op("all", _result("bool"), _method("all"), latex=_named("all")),
        Op("argmax", _result("int"), _method("argmax"), latex=_named("argmax")),
        Op("argmin", _result("int"), _method("argmin"), latex=_named("argmin")),
        Op("logsumexp", _result("float"), _called("_logsumexp"), _vjp_logsumexp, latex=_named("logsumexp")),
        Op("norm", _result("float"), _called("np.linalg.norm"), _vjp_norm, latex=r"\lVert {0} \rVert"),
    )
}
_FLOATS = ("mean", "logsumexp", "norm")


def reduce(name: str, x: Node, axis: object = None, keepdims: bool = False) -> Node:
    """A reduction over an axis, several, or all (None, which works for any rank)."""
    if name == "sum":
        return total(x, axis, keepdims)
    if name in _FLOATS:
        x = cast(x, "float")
    if x.type.shape == () and axis is None:
        return _of_number(name, x)
    return apply(REDUCTIONS[name], x, axes=reduction_axes(x, axis, keepdims), keepdims=keepdims)


def _of_number(name: str, x: Node) -> Node:
    """A reduction of a value without axes, which may be a Python number and so has no methods."""
    if name in ("any", "all"):
        return ew("not_equal", x, number(0))
    if name in ("argmax", "argmin"):
        return number(0)
    if name == "norm":
        return ew("abs", x)
    return cast(x, "int") if name == "prod" and x.type.dtype == "bool" else x


# the functions -------------------------------------------------------------------------------------------------------


def _var(a: Node, axis: object, ddof: int, keepdims: bool) -> Node:
    a = cast(a, "float")
    axes = reduction_axes(a, axis, keepdims)
    centred = sub(a, reduce("mean", a, axes, keepdims=axes is not None))
    return apply(VAR, a, centred, axes=axes, ddof=ddof, keepdims=keepdims)


def _std(a: Node, axis: object, ddof: int, keepdims: bool) -> Node:
    variance = typing_cast(Apply, _var(a, axis, ddof, keepdims))
    return apply(STD, *variance.args, variance, **dict(variance.attrs))


def _average(a: Node, axis: object, weights: Node | None, keepdims: bool) -> Node:
    if weights is None:
        return reduce("mean", a, axis, keepdims)
    if axis is not None and len(shape_of(weights, 1)) == 1 < len(shape_of(a)):
        weights = reshape(weights, (*shape_of(weights), *[ONE] * (-1 - axis_of(axis, len(shape_of(a))))))
        return div(total(mul(a, weights), axis, keepdims), total(weights))
    return div(total(mul(a, weights), axis, keepdims), total(weights, axis, keepdims))


def _logsumexp(a: Node, axis: object, b: Node | None, keepdims: bool) -> Node:
    if b is None:
        return reduce("logsumexp", a, axis, keepdims)
    a = cast(a, "float")
    # of no entries there is no largest, but there is a sum
    large = reduce("logsumexp", stop_gradient(a), axis, keepdims=True)
    shift = where(ew("isfinite", large), large, number(0.0))
    log = ew("log", total(mul(b, ew("exp", sub(a, shift))), axis, keepdims))
    return add(log, reshape(shift, shape_of(log)))


def _norm(x: Node, ord: object, axis: object, keepdims: bool) -> Node:
    """numpy.linalg.norm: of all entries, of vectors along an axis, or of matrices along two."""
    x = cast(x, "float")
    if ord is None and axis is None:
        return reduce("norm", x, None, keepdims)
    rank = len(shape_of(x, 1))
    axes = tuple(range(rank)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, (axis_of(axes[0], rank), axis_of(axes[1], rank)), keepdims)
    raise ShapeError(Code.E0303, f"a norm is taken of vectors or matrices, not over {len(axes)} axes", f"{{0}} is {x.type}", "write `norm(ravel(x))`")


def _vector_norm(x: Node, ord: object, axis: object, keepdims: bool) -> Node:
    size = ew("abs", x)
    if ord in (None, 2):
        return reduce("norm", x, axis, keepdims)
    if not isinstance(ord, (int, float)):
        raise ShapeError(Code.E0204, f"`ord` of a vector's norm is a number, not {ord!r}")
    if abs(ord) == float("inf"):
        return reduce("max" if ord > 0 else "min", size, axis, keepdims)
    if ord == 0:
        return total(cast(ew("not_equal", x, number(0)), "float"), axis, keepdims)
    if ord == 1:
        return total(size, axis, keepdims)
    powers = total(ew("power", size, number(ord)), axis, keepdims)
    zero = ew("equal", powers, number(0))
    root = ew("power", where(zero, number(1.0), powers), number(1 / ord))
    return where(zero, number(0.0), root)


def _matrix_norm(x: Node, ord: object, axes: tuple[int, int], keepdims: bool) -> Node:
    if ord in (None, "fro"):
        return reduce("norm", x, axes, keepdims)
    if ord in (2, -2, "nuc"):
        raise ShapeError(Code.E0204, f"`ord={ord!r}` of a matrix needs its singular values", help="write it with `svd`, or use `ord='fro'`")
    if ord not in (1, -1, float("inf"), -float("inf")):
        raise ShapeError(Code.E0204, f"`ord` of a matrix's norm is 'fro', 1, -1, inf or -inf, not {ord!r}")
    summed, kept = axes if ord in (1, -1) else axes[::-1]
    sums = total(ew("abs", x), summed, keepdims=True)
    found = reduce("max" if typing_cast(float, ord) > 0 else "min", sums, kept, keepdims=True)
    shape = shape_of(x)
    return found if keepdims else reshape(found, tuple(dim for i, dim in enumerate(shape) if i - len(shape) not in axes))


def _reduction(name: str, doc: str, derivative: str = "", axis: str = "axes", argument: str = "x") -> Function:
    """A stanza of a reduction that has no settings but axis and keepdims."""

    def build(a: Node, axis: object, keepdims: bool) -> Node:
        return reduce(name, a, axis, keepdims)

    calls = ["(x)", "(x, axis=0)", "(x, -1)", "(x, axis=0, keepdims=True)", "(x, keepdims=True)"]
    calls += ["(x, axis=(0, 1))", "(x, axis=(-1, 0), keepdims=True)", "(x, axis=(0, 2)) | x: [2, 3, 4]"] if axis == "axes" else []
    # what has no derivative is tested beside something that has one
    cases = [("" if derivative else "x[0, 0] * ") + name + call.replace("x", argument, 1) for call in calls if derivative or "|" not in call]
    signature = f"{name}(a, axis: {axis} = None, *, keepdims: flag = False)"
    return function(signature, "reductions", doc, build, derivative=derivative, cases=cases)


# the sum and the product stand beside what their derivatives are made of
OPS = (*(op for op in REDUCTIONS.values() if op not in (SUM, PROD)), VAR, STD)

FUNCTIONS = (
    _reduction("mean", "The mean over an axis, several, or all.", "g over the count, spread over the averaged axes"),
    _reduction("prod", "The product over an axis, several, or all.", "g times the product of the other entries; right where entries are 0"),
    _reduction("max", "The largest entry.", "g where the largest stands; entries that tie share it equally"),
    _reduction("min", "The smallest entry.", "g where the smallest stands; entries that tie share it equally"),
    _reduction("any", "Whether any entry is true, or not 0.", argument="x > 0"),
    _reduction("all", "Whether all entries are true, or not 0.", argument="x > 0"),
    _reduction("argmax", "The index of the largest entry, of the first where several tie; without an axis, in x laid out flat.", axis="axis"),
    _reduction("argmin", "The index of the smallest entry, of the first where several tie; without an axis, in x laid out flat.", axis="axis"),
    function(
        "var(a, axis: axes = None, *, ddof: int = 0, keepdims: flag = False)",
        "reductions",
        "The variance: the mean squared deviation from the mean, with a divisor of n - ddof.",
        _var,
        derivative="2 * g * (a - mean(a)) / (n - ddof)",
        cases=("var(x)", "var(x, axis=0)", "var(x, axis=-1, ddof=1)", "var(x, axis=(0, 1), keepdims=True)", "x.var(axis=0, keepdims=True)"),
    ),
    function(
        "std(a, axis: axes = None, *, ddof: int = 0, keepdims: flag = False)",
        "reductions",
        "The standard deviation: the square root of var. Its derivative where all entries are equal is 0.",
        _std,
        derivative="g * (a - mean(a)) / ((n - ddof) * out)",
        cases=("std(x)", "std(x, axis=0)", "std(x, axis=-1, ddof=1)", "std(x, axis=(0, 1), keepdims=True)", "x.std(0)"),
    ),
    function(
        "average(a, axis: axes = None, weights=None, *, keepdims: flag = False)",
        "reductions",
        "sum(a * weights) / sum(weights): weights of a's shape, or one for each entry along the axis.",
        _average,
        derivative="that of the quotient",
        cases=(
            "average(x)",
            "average(x, axis=0, weights=w) | x: [3, 4]; w: [3] positive",
            "average(x, 1, w) | x: [3, 4]; w: [4] positive",
            "average(x, weights=w) | x: [3, 4]; w: [3, 4] positive",
            "average(x, axis=0, weights=w, keepdims=True) | x: [3, 4]; w: [3, 4] positive",
        ),
    ),
    function(
        "logsumexp(a, axis: axes = None, b=None, keepdims: flag = False)",
        "reductions",
        "log(sum(b * exp(a))), without overflow; b is 1 unless given.",
        _logsumexp,
        derivative="g * exp(a - out)",
        cases=(
            "logsumexp(x)",
            "logsumexp(x, axis=0)",
            "logsumexp(x, -1, keepdims=True)",
            "logsumexp(x, axis=(0, 1))",
            "logsumexp(x, axis=1, b=w) | x: [3, 4]; w: [4] positive",
        ),
    ),
    function(
        "norm(x, ord: static = None, axis: axes = None, keepdims: flag = False)",
        "reductions",
        "numpy.linalg.norm: ord of vectors along one axis, or of matrices over two; without ord, the root of the sum of squares. Its derivative at 0 is 0.",
        _norm,
        derivative="g * x / out",
        cases=(
            "norm(x)",
            "norm(x) | x: [4]",
            "norm(x) | x: [2, 3, 4]",
            "norm(x, axis=0)",
            "norm(x, axis=-1, keepdims=True)",
            "norm(x, ord=1) | x: [4]",
            "norm(x, 3) | x: [4]",
            "norm(x, inf) | x: [4]",
            "norm(x, -inf) | x: [4]",
            "x[0] * norm(x, 0) | x: [4]",
            "norm(x, ord=1, axis=0)",
            "norm(x, 'fro')",
            "norm(x, 1)",
            "norm(x, -1)",
            "norm(x, inf)",
            "norm(x, -inf, keepdims=True)",
            "norm(x, 1, axis=(0, 2)) | x: [2, 3, 4]",
            "norm(x, axis=(1, 2)) | x: [2, 3, 4]",
        ),
    ),
)

__all__ = ["FUNCTIONS", "OPS", "REDUCTIONS", "STD", "UNBROADCAST", "VAR", "along", "flip", "over", "reduce", "restore", "sum_to"]
