"""What keeps the shape and works along axes: softmax, running sums and products, the order of entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast as typing_cast

from dsl.nodes import Apply, Node, apply
from dsl.ops.broadcasting import flat, reshape, total
from dsl.ops.core import axes_of, axis_of, mul, number, shape_of, sub, where
from dsl.ops.elementwise import cast, ew
from dsl.ops.indexing import TAKE
from dsl.ops.making import arange
from dsl.ops.moving import flip
from dsl.ops.prods import PROD_OTHERS
from dsl.ops.spec import ATOM, Emit, Function, Op, Printer, Text, called, function
from dsl.types import ONE, TensorType, broadcast

Axes = int | tuple[int, ...]


def _axes(node: Apply) -> Axes:
    return typing_cast(Axes, node.attr("axis"))


def _left(node: Apply) -> str:
    """The axis as people count it: from the left, the last one -1."""
    rank, axes = len(node.type.known), _axes(node)
    if isinstance(axes, tuple):
        return str(tuple(axis + rank for axis in axes))
    return str(axes if axes == -1 else axes + rank)


def _along(name: str) -> Emit:
    def emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
        return Text(f"{name}({args[0].text}, axis={_left(node)})")

    return emit


def _method(name: str) -> Emit:
    def emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
        return Text(f"{args[0].at(ATOM)}.{name}(axis={_left(node)})")

    return emit


def _infer(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return replace(types[0], dtype="int" if types[0].dtype == "bool" else types[0].dtype, weak=False)


def _infer_two(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("float", broadcast(types))


# softmax -------------------------------------------------------------------------------------------------------------


def _vjp_softmax(node: Apply, g: Node) -> Sequence[Node | None]:
    inner = total(mul(g, node), _axes(node), keepdims=True)
    return (mul(node, sub(g, inner)),)


def _vjp_log_softmax(node: Apply, g: Node) -> Sequence[Node | None]:
    return (sub(g, mul(ew("exp", node), total(g, _axes(node), keepdims=True))),)


def _emit_picked(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    axis = "" if _axes(node) == -1 else f", axis={_left(node)}"
    return Text(f"_softmax_and_picked({args[0].text}, {args[1].text}{axis})")


SOFTMAX = Op("softmax", _infer, _along("_softmax"), _vjp_softmax)
LOG_SOFTMAX = Op("log_softmax", _infer, _along("_log_softmax"), _vjp_log_softmax)
# a softmax and what stands beside it, of one exponential: made once derivatives are taken
SOFTMAX_AND_LOG = Op("softmax_and_log", _infer, _along("_softmax_and_log"), parts=("softmax", "log_softmax"))
SOFTMAX_AND_LOGSUMEXP = Op("softmax_and_logsumexp", _infer, _along("_softmax_and_logsumexp"), parts=("softmax", "logsumexp"))
# the second is the logarithm where rows are picked from
SOFTMAX_AND_PICKED = Op("softmax_and_picked", _infer, _emit_picked, parts=("softmax", "picked"))
SOFTPLUS_AND_SIGMOID = Op("softplus_and_sigmoid", _infer, called("_softplus_and_sigmoid"), elementwise=True, parts=("softplus", "sigmoid"))
LOGADDEXP_AND_SHARES = Op("logaddexp_and_shares", _infer_two, called("_logaddexp_and_shares"), elementwise=True, parts=("logaddexp", "first", "second"))
# which take an array to write their first step into
IN_PLACE = (SOFTMAX, LOG_SOFTMAX, SOFTMAX_AND_LOG, SOFTMAX_AND_LOGSUMEXP, SOFTMAX_AND_PICKED)
# whose parts are arrays of their own, of the same rows
IN_PARTS = (SOFTMAX_AND_LOG, SOFTMAX_AND_LOGSUMEXP, SOFTMAX_AND_PICKED, SOFTPLUS_AND_SIGMOID, LOGADDEXP_AND_SHARES)


def _normalised(op: Op, x: Node, axis: object) -> Node:
    axes = axes_of(axis, len(shape_of(x)))
    return apply(op, cast(x, "float"), axis=axes[0] if len(axes) == 1 else axes)


def softmax(x: Node, axis: object = -1) -> Node:
    return _normalised(SOFTMAX, x, axis)


def log_softmax(x: Node, axis: object = -1) -> Node:
    return _normalised(LOG_SOFTMAX, x, axis)


# running sums and products -------------------------------------------------------------------------------------------


def _emit_cumsum(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    """From the end where it runs backwards."""
    if not runs_backwards(node):
        return _method("cumsum")(node, args, printer)
    axis = typing_cast(int, _axes(node)) + len(node.type.known)
    turned = f"[{':, ' * axis}::-1]"
    return Text(f"{args[0].at(ATOM)}{turned}.cumsum(axis={_left(node)}){turned}")


def runs_backwards(node: Apply) -> bool:
    """Whether a running sum starts at the end."""
    return "backwards" in dict(node.attrs)


def _vjp_cumsum(node: Apply, g: Node) -> Sequence[Node | None]:
    """The running sum the other way."""
    return (running_sum(g, typing_cast(int, _axes(node)), not runs_backwards(node)),)


def _vjp_cumprod(node: Apply, g: Node) -> Sequence[Node | None]:
    """O(n²) in the length, and right also where an entry is zero: each prefix product is written out as a product over a triangle."""
    x, axis = node.args[0], typing_cast(int, _axes(node))
    shape = shape_of(x)
    at, n = len(shape) + axis, shape[axis]
    trailing = [ONE] * (-1 - axis)
    kept = ew("less_equal", reshape(arange(n), (n, *trailing)), reshape(arange(n), (n, ONE, *trailing)))
    triangle = where(kept, reshape(x, (*shape[:at], ONE, *shape[at:])), number(1.0))
    spread_g = mul(reshape(g, (*shape[: at + 1], ONE, *shape[at + 1 :])), apply(PROD_OTHERS, triangle, axes=(axis,)))
    return (total(where(kept, spread_g, number(0.0)), axis - 1),)


CUMSUM = Op("cumsum", _infer, _emit_cumsum, _vjp_cumsum, linear=True)
CUMPROD = Op("cumprod", _infer, _method("cumprod"), _vjp_cumprod)


def _running(op: Op, a: Node, axis: int | None) -> Node:
    a = flat(a) if axis is None or shape_of(a) == () else a
    return apply(op, a, axis=axis_of(-1 if axis is None else axis, len(shape_of(a))))


def running_sum(x: Node, axis: int, backwards: bool) -> Node:
    """That along an axis, counted from the right, and maybe from the end."""
    return apply(CUMSUM, x, axis=axis, **({"backwards": True} if backwards else {}))


def cumsum(a: Node, axis: int | None = None) -> Node:
    return _running(CUMSUM, a, axis)


def cumprod(a: Node, axis: int | None = None) -> Node:
    return _running(CUMPROD, a, axis)


def _infer_recurrence(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    turns, *row = types[2].known
    return TensorType("float", (turns + ONE, *row))


def _emit_recurrence(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    backwards = ", backwards=True" if node.attr("backwards") else ""
    return Text(f"_recurrence({', '.join(arg.text for arg in args)}{backwards})")


# x[0] = start and x[t + 1] = factors[t] * x[t] + terms[t], or the same from the end: made once derivatives are taken
RECURRENCE = Op("recurrence", _infer_recurrence, _emit_recurrence)


# order ---------------------------------------------------------------------------------------------------------------


def _emit_argsort(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f'{args[0].at(ATOM)}.argsort(axis={_left(node)}, kind="stable")')


def _infer_argsort(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("int", types[0].shape)


ARGSORT = Op("argsort", _infer_argsort, _emit_argsort)


def _vjp_sort(node: Apply, g: Node) -> Sequence[Node | None]:
    """g put back where its entry came from."""
    axis = typing_cast(int, _axes(node))
    taken = apply(TAKE, node.args[0], argsort(node.args[0], axis), axis=axis)
    assert TAKE.vjp is not None
    return (TAKE.vjp(taken, g)[0],)


SORT = Op("sort", _infer, _along("np.sort"), _vjp_sort)


def argsort(a: Node, axis: int | None = -1, kind: str | None = None) -> Node:
    a = flat(a) if axis is None else a
    return apply(ARGSORT, a, axis=axis_of(-1 if axis is None else axis, len(shape_of(a))))


def sort(a: Node, axis: int | None = -1, kind: str | None = None) -> Node:
    """Sorting takes a tenth of the time of finding the order, and no longer than taking entries in that order: only the derivative finds it."""
    a = flat(a) if axis is None else a
    return apply(SORT, a, axis=axis_of(-1 if axis is None else axis, len(shape_of(a))))


OPS = (SOFTMAX, LOG_SOFTMAX, *IN_PARTS, CUMSUM, CUMPROD, RECURRENCE, ARGSORT, SORT)


def along(name: str, x: Node, axis: object) -> Node:
    """One of these by its name."""
    return {"softmax": softmax, "log_softmax": log_softmax, "flip": flip}[name](x, axis)


FUNCTIONS: tuple[Function, ...] = (
    function(
        "softmax(x, axis: axes | None = -1)",
        "activations",
        "exp(x) over its sum along an axis, without overflow.",
        softmax,
        derivative="out * (g - sum(g * out))",
        cases=("softmax(x)", "softmax(x, axis=0)", "softmax(x, (0, 1))", "softmax(x, axis=None)", "softmax(x) | x: [4]"),
    ),
    function(
        "log_softmax(x, axis: axes | None = -1)",
        "activations",
        "The logarithm of softmax, without cancellation.",
        log_softmax,
        derivative="g - exp(out) * sum(g)",
        cases=("log_softmax(x)", "log_softmax(x, axis=0)", "log_softmax(x, (0, 1))", "log_softmax(x) | x: [4]"),
    ),
    function(
        "cumsum(a, axis: axis = None)",
        "reductions",
        "The running sum along an axis, or of a laid out flat.",
        cumsum,
        derivative="the running sum of g from the end",
        cases=("cumsum(x)", "cumsum(x, axis=0)", "x.cumsum(-1)"),
    ),
    function(
        "cumprod(a, axis: axis = None)",
        "reductions",
        "The running product along an axis, or of a laid out flat.",
        cumprod,
        derivative="sums of g times products without the entry; right where entries are 0, and O(n²) in the length",
        cases=("cumprod(x) | x: [5]", "cumprod(x, axis=0)", "cumprod(x, -1) | x: [2, 3, 4]", "cumprod(x, axis=1) | x: [2, 3, 2]"),
    ),
    function(
        "sort(a, axis: axis | None = -1, kind: text = None)",
        "shape",
        "Entries in ascending order along an axis, or of a laid out flat.",
        sort,
        derivative="g put back where its entry came from; equal entries keep their order",
        cases=(
            *("y * sort(x)", "y * sort(x, axis=0)", "sort(x, axis=None)", "sort(x) | x: [5]", "sin(sort(x)) | x: [4, 1]"),
            "x * sort(i) | x: [4]; i: int[4] in 0:3",
        ),
    ),
    function(
        "argsort(a, axis: axis | None = -1, kind: text = None)",
        "shape",
        "The indices that sort, equal entries in their order.",
        argsort,
        cases=("x * argsort(x)", "x * argsort(x, axis=0)", "x[0, 0] * argsort(x, axis=None)"),
    ),
)
