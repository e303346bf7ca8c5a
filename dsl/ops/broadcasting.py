"""Shapes changed without arithmetic, and the sum that undoes a broadcast: reshape, broadcast_to, spread, sum, unbroadcast.

They stand together because each is the derivative of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast as typing_cast

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply
from dsl.ops.core import axes_of, shape_of, typed
from dsl.ops.elementwise import cast
from dsl.ops.spec import ATOM, PRODUCT, Emit, Op, Printer, Text, function
from dsl.types import ONE, Dim, Shape, ShapeError, TensorType, join, product, require, same, shape_text

Axes = tuple[int, ...] | None


def tuple_text(parts: Sequence[str]) -> str:
    """A Python tuple."""
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


# reshape ------------------------------------------------------------------------------------------------------------


def _infer_reshape(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    shape = typing_cast(Shape, attrs["shape"])
    before, after = product(types[0].known), product(shape)
    if not same(before, after):
        raise ShapeError(Code.E0305, f"{before} entries do not fit into {shape_text(shape)}, which has {after}", f"{{0}} is {types[0]}")
    return typed(types[0], shape)


def _emit_reshape(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    old, new = node.args[0].type.known, node.type.known
    index = _ones_moved(old, new)
    if index is not None:
        return Text(f"{args[0].at(ATOM)}[{', '.join(index)}]")
    if len(new) == 1:
        return Text(f"{args[0].at(ATOM)}.reshape(-1)")
    return Text(f"{args[0].at(ATOM)}.reshape({', '.join(map(printer.dim, new))})")


def _ones_moved(old: Shape, new: Shape) -> list[str] | None:
    """The index that only inserts or removes axes of size 1, if that is all a reshape does."""
    before, after = _ones(old), _ones(new)
    if [dim for dim, _ in before] != [dim for dim, _ in after]:
        return None
    parts: list[str] = []
    for (dim, have), (_, want) in zip(before, after, strict=True):
        parts += [":"] * min(have, want) + ["0"] * (have - want) + ["None"] * (want - have) + [":"] * (dim is not None)
    while parts and parts[-1] == ":":
        parts.pop()
    return parts


def _ones(shape: Shape) -> list[tuple[Dim | None, int]]:
    """Each axis that is not of size 1 with the count of such axes before it, and None with the count at the end."""
    found: list[tuple[Dim | None, int]] = []
    count = 0
    for dim in shape:
        if dim == ONE:
            count += 1
        else:
            found.append((dim, count))
            count = 0
    return [*found, (None, count)]


def _vjp_reshape(node: Apply, g: Node) -> Sequence[Node | None]:
    return (reshape(g, node.args[0].type.known),)


def _latex_reshape(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    """Axes of size 1 more or fewer are none of mathematics' business."""
    old, new = ([dim for dim in each.type.shape or () if dim != ONE] for each in (node.args[0], node))
    return args[0] if old == new else Text(rf"\operatorname{{reshape}}({args[0].text})")


RESHAPE = Op("reshape", _infer_reshape, _emit_reshape, _vjp_reshape, linear=True, view=True, latex=_latex_reshape)


def reshape(x: Node, shape: Shape) -> Node:
    """x's entries in another shape. A Python number, which has no methods, becomes an array."""
    if shape_of(x) == shape:
        return x
    return broadcast_to(x, shape) if x.type.weak else apply(RESHAPE, x, shape=shape)


def reshape_to(x: Node, shape: Shape) -> Node:
    """NumPy's reshape: one dimension may be -1. Raises ShapeError."""
    holes = [i for i, dim in enumerate(shape) if dim == Dim.number(-1)]
    if len(holes) > 1:
        raise ShapeError(Code.E0305, "only one dimension of a shape may be -1")
    if holes:
        rest = product(tuple(dim for i, dim in enumerate(shape) if i != holes[0]))
        have = product(shape_of(x))
        exact = have.divided(rest) if rest.terms else None
        if exact is None and have.constant is not None and rest.constant is not None:
            raise ShapeError(Code.E0305, f"{have} entries cannot be split by {rest}", f"{{0}} is {x.type}")
        if exact is None and rest.terms:
            require(rest, "divides", have, "all entries must fit into the shape")
        shape = tuple((exact or have // rest) if i == holes[0] else dim for i, dim in enumerate(shape))
    return reshape(x, shape)


def flat(x: Node) -> Node:
    """x with all its entries in one axis."""
    return reshape(x, (product(shape_of(x, 1)),))


# broadcast_to --------------------------------------------------------------------------------------------------------


def _infer_broadcast(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    shape, old = typing_cast(Shape, attrs["shape"]), types[0].known
    refused = ShapeError(Code.E0301, f"{types[0]} does not broadcast to {shape_text(shape)}", f"{{0}} is {types[0]}")
    if len(old) > len(shape):
        raise refused
    for mine, wanted in zip(reversed(old), reversed(shape), strict=False):
        try:
            fits = mine == ONE or join(mine, wanted) == wanted or mine.flexible
        except ValueError:
            fits = False
        if not fits:
            raise refused
    return typed(types[0], shape)


def _emit_broadcast(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    shape = tuple_text([printer.dim(dim) for dim in node.type.known])
    if node.args[0].type.shape == ():
        makers = {"0": "zeros", "1": "ones", "0.0": "zeros", "1.0": "ones", "False": "zeros", "True": "ones"}
        if args[0].text in makers:
            return Text(f"np.{makers[args[0].text]}({shape}, dtype={dtype_text(node.type.dtype, printer)})")
        return Text(f"np.full({shape}, {args[0].text}, dtype={dtype_text(node.type.dtype, printer)})")
    return Text(f"np.broadcast_to({args[0].text}, {shape})")


def dtype_text(dtype: str, printer: Printer) -> str:
    """A kind of number as NumPy's dtype: a float has the program's precision."""
    return printer.dtype if dtype == "float" else {"int": "np.int64", "bool": "np.bool_"}[dtype]


def _vjp_broadcast(node: Apply, g: Node) -> Sequence[Node | None]:
    return (sum_to(g, node.args[0]),)



def latex_spread(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    """A number times ones; an array along new axes."""
    if node.args[0].type.shape != ():
        return Text(rf"\operatorname{{broadcast}}({args[0].text})")
    ones = rf"\mathbf{{1}}_{{{printer.shape(node)}}}"
    return Text(ones if args[0].text == "1" else r"\mathbf{0}" if args[0].text == "0" else rf"{args[0].at(PRODUCT)} \, {ones}", PRODUCT)


BROADCAST = Op("broadcast_to", _infer_broadcast, _emit_broadcast, _vjp_broadcast, linear=True, view=True, latex=latex_spread)


def broadcast_to(x: Node, shape: Shape) -> Node:
    return x if shape_of(x) == shape else apply(BROADCAST, x, shape=shape)


# spread: a broadcast whose target shape is known only at run time ----------------------------------------------------


def _infer_like(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return replace(types[1], dtype=types[0].dtype, weak=False)


def _emit_spread(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    x, like = node.args
    if x.type.shape == () and x.type.dtype == like.type.dtype and not like.type.weak:
        # a number takes the array's precision
        return Text(f"np.full_like({args[1].text}, {args[0].text})")
    if x.type.shape == ():
        return Text(f"np.full({printer.shape(like)}, {args[0].text}, dtype={dtype_text(x.type.dtype, printer)})")
    return Text(f"np.broadcast_to({args[0].text}, {printer.shape(like)})")


def _vjp_spread(node: Apply, g: Node) -> Sequence[Node | None]:
    return sum_to(g, node.args[0]), None


SPREAD = Op("spread", _infer_like, _emit_spread, _vjp_spread, linear=True, view=True, latex=latex_spread)


def spread(x: Node, like: Node) -> Node:
    """x broadcast to the shape of ``like``."""
    if x.type.matches(like.type):
        return x
    if like.type.shape is not None and x.type.shape is not None:
        return broadcast_to(x, like.type.shape)
    return apply(SPREAD, x, like)


# sum -----------------------------------------------------------------------------------------------------------------


def settings(attrs: Mapping[str, object]) -> tuple[Axes, bool]:
    """The axes of a reduction, counted from the right (None: all, of any rank), and whether they stay as size 1."""
    return typing_cast(Axes, attrs["axes"]), bool(attrs["keepdims"])


def reduced(shape: Shape | None, axes: Axes, keepdims: bool) -> Shape | None:
    """The shape that a reduction leaves."""
    if axes is None or shape is None:
        return None if keepdims else ()
    rank = len(shape)
    return tuple(ONE if i - rank in axes else dim for i, dim in enumerate(shape) if keepdims or i - rank not in axes)


def reduction_arguments(node: Apply) -> list[str]:
    """``axis=`` and ``keepdims=`` as NumPy takes them, counted from the left as people do; the last axis is -1."""
    axes, keepdims = settings(dict(node.attrs))
    shape = node.args[0].type.shape
    shown: list[str] = []
    if axes is not None and shape is not None and len(axes) < len(shape):
        rank = len(shape)
        left = [axis + rank for axis in axes]
        shown.append(f"axis={-1 if axes == (-1,) else left[0] if len(left) == 1 else tuple(left)}")
    if keepdims:
        shown.append("keepdims=True")
    return shown


def infer_sum(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    dtype = "float" if types[0].dtype == "float" else "int"
    return TensorType(dtype, reduced(types[0].shape, *settings(attrs)))


def _emit_sum(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"{args[0].at(ATOM)}.sum({', '.join(reduction_arguments(node))})")


def restore(x: Node, node: Apply) -> Node:
    """A reduction's result or cotangent with the reduced axes put back as size 1, so that it broadcasts against the argument."""
    axes, keepdims = settings(dict(node.attrs))
    shape = node.args[0].type.shape
    if keepdims or shape is None or axes is None or len(axes) == len(shape):
        return x
    return reshape(x, typing_cast(Shape, reduced(shape, axes, True)))


def _vjp_sum(node: Apply, g: Node) -> Sequence[Node | None]:
    return (spread(restore(g, node), node.args[0]),)


def over_indices(sign: str) -> Emit:
    """A reduction as LaTeX: its sign, and below it the indices of the axes that it takes."""

    def latex(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
        axes, shape = settings(dict(node.attrs))[0], node.args[0].type.shape
        every = "ijklmnpqrst"[: len(shape or ())]
        taken = "".join(label for i, label in enumerate(every) if axes is None or i - len(every) in axes)
        if shape is None or not taken:
            return Text(f"{sign} {args[0].at(PRODUCT)}", PRODUCT)
        return Text(f"{sign}_{{{taken}}} {{{args[0].at(ATOM)}}}_{{{every}}}", PRODUCT)

    return latex


SUM = Op("sum", infer_sum, _emit_sum, _vjp_sum, linear=True, latex=over_indices(r"\sum"))


def reduction_axes(x: Node, axis: object, keepdims: bool) -> Axes:
    """The axes that a reduction's ``axis`` means. Raises ShapeError, or NeedRank where the rank decides."""
    if axis is None and not keepdims and x.type.shape is None:
        return None
    return axes_of(axis, len(shape_of(x)))


def total(x: Node, axis: object = None, keepdims: bool = False) -> Node:
    """NumPy's sum: booleans are counted. A number is its own sum."""
    if x.type.dtype == "bool" and x.type.weak:
        x = cast(x, "int")
    if x.type.shape == () and x.type.dtype != "bool" and axis is None:
        return x
    return apply(SUM, x, axes=reduction_axes(x, axis, keepdims), keepdims=keepdims)


# another name for a dimension -------------------------------------------------------------------------------------------


def _infer_renamed(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    shape = list(types[0].known)
    shape[typing_cast(int, attrs["axis"])] = typing_cast(Dim, attrs["dim"])
    return typed(types[0], shape)


def _emit_renamed(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return args[0]


# the array as it is, one of its dimensions under the name of another of the same size
RENAMED = Op("renamed", _infer_renamed, _emit_renamed, view=True)

# unbroadcast: the sum that undoes a broadcast known only at run time ---------------------------------------------------


def _infer_unbroadcast(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return replace(types[1], dtype=types[0].dtype, weak=False)


def _emit_unbroadcast(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"_unbroadcast({args[0].text}, {printer.shape(node.args[1])})")


def _vjp_unbroadcast(node: Apply, g: Node) -> Sequence[Node | None]:
    return spread(g, node.args[0]), None


UNBROADCAST = Op("unbroadcast", _infer_unbroadcast, _emit_unbroadcast, _vjp_unbroadcast, linear=True, latex=r"\operatorname{unbroadcast}({0})")


def sum_to(g: Node, like: Node) -> Node:
    """A cotangent summed back over the axes along which ``like`` was broadcast, so that it has exactly its shape."""
    have, want = g.type.shape, like.type.shape
    if g.type.matches(like.type):
        return g
    if want == ():
        return total(g)
    if have is None or want is None:
        return apply(UNBROADCAST, g, like)
    extra = len(have) - len(want)
    if extra < 0:
        return broadcast_to(g, want)
    if any(dim != old and dim != ONE and (dim.flexible or old.flexible) for dim, old in zip(want, have[extra:], strict=True)):
        return apply(UNBROADCAST, g, like)
    rank = len(have)
    axes = tuple(i - rank for i in range(extra, rank) if want[i - extra] == ONE != have[i])
    lead = tuple(range(-rank, extra - rank))
    if axes or lead:
        g = total(g, lead + axes, keepdims=not lead)
    if lead and axes:
        g = reshape(g, tuple(ONE if i - len(want) in axes else have[extra + i] for i in range(len(want))))
    return broadcast_to(g, want)


def _expand_dims(a: Node, axis: object) -> Node:
    count = len(axis) if isinstance(axis, tuple) else 1
    rank = len(shape_of(a)) + count
    places = axes_of(axis, rank)
    rest = iter(shape_of(a))
    return reshape(a, tuple(ONE if i - rank in places else next(rest) for i in range(rank)))


def _squeeze(a: Node, axis: object) -> Node:
    shape = shape_of(a)
    rank = len(shape)
    gone = [i - rank for i, dim in enumerate(shape) if dim == ONE] if axis is None else axes_of(axis, rank)
    for i in gone:
        if not same(shape[i], ONE):
            raise ShapeError(Code.E0305, f"axis {i + rank} has size {shape[i]}, not 1", f"{{0}} is {a.type}")
    return reshape(a, tuple(dim for i, dim in enumerate(shape) if i - rank not in gone))


OPS = (RESHAPE, BROADCAST, SPREAD, SUM, RENAMED, UNBROADCAST)

FUNCTIONS = (
    function(
        "sum(a, axis: axes = None, *, keepdims: flag = False)",
        "reductions",
        "The sum over an axis, several, or all. Booleans are counted.",
        total,
        derivative="g, spread over the summed axes",
        cases=("sum(x)", "sum(x, axis=0)", "sum(x, -1)", "sum(x, axis=(0, 1))", "sum(x, axis=0, keepdims=True)", "sum(x, keepdims=True)"),
    ),
    function(
        "reshape(a, *shape: shape)",
        "shape",
        "The same entries in another shape, row by row; one dimension may be -1.",
        reshape_to,
        derivative="g in the shape of a",
        cases=("reshape(x, (4, 3))", "x.reshape(2, -1)", "reshape(x, -1)", "x.reshape((2, 2, 3))", "reshape(x, (3, 1, 4))"),
    ),
    function("ravel(a)", "shape", "All entries in one axis, row by row.", flat, derivative="g in the shape of a", cases=("ravel(x)", "x.ravel()")),
    function(
        "expand_dims(a, axis: axes)",
        "shape",
        "Axes of size 1 inserted, at the places they have in the result.",
        _expand_dims,
        derivative="g without those axes",
        cases=("expand_dims(x, 0)", "expand_dims(x, axis=-1)", "expand_dims(x, (0, 2))"),
    ),
    function(
        "squeeze(a, axis: axes = None)",
        "shape",
        "Axes of size 1 removed: those named, or every axis known to have size 1.",
        _squeeze,
        derivative="g with those axes put back",
        cases=("squeeze(x) | x: [1, 3, 1]", "squeeze(x, axis=0) | x: [1, 3, 1]", "x.squeeze(-1) | x: [N, 1]", "squeeze(x) | x: [1, 1]"),
    ),
    function(
        "broadcast_to(array, shape: shape)",
        "shape",
        "The array repeated to a shape by NumPy's broadcasting.",
        broadcast_to,
        derivative="g summed over the repeated axes",
        cases=("broadcast_to(x, (2, 3, 4))", "broadcast_to(x, (3, 4)) | x: [4]", "broadcast_to(x, (3, 4)) | x: [3, 1]", "broadcast_to(x, 5) | x: []"),
    ),
)
