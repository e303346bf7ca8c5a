"""What moves entries and computes nothing: axes in another order, arrays joined, parted, repeated and padded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast as typing_cast

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply
from dsl.ops.broadcasting import broadcast_to, dtype_text, flat, reshape, spread, total, tuple_text
from dsl.ops.contraction import permute
from dsl.ops.core import axis_of, number, shape_of
from dsl.ops.elementwise import cast
from dsl.ops.indexing import FULL, index, narrow, pick, scatter
from dsl.ops.making import arange
from dsl.ops.spec import Op, Printer, Text, function
from dsl.types import ONE, ZERO, Dim, Shape, ShapeError, TensorType, as_dim, require, same


def _axis(node: Apply) -> int:
    return int(str(node.attr("axis")))


def _left(node: Apply) -> int:
    """The axis as people count it: from the left, the last one -1."""
    axis, rank = _axis(node), len(node.type.known)
    return axis if axis == -1 and rank > 1 else axis + rank


# axes in another order -----------------------------------------------------------------------------------------------


def transpose(a: Node, axes: object = None) -> Node:
    """The axes reversed, or in the order given."""
    rank = len(shape_of(a, 2))
    if axes is None:
        return permute(a, range(rank)[::-1])
    order = [axis_of(axis, rank) + rank for axis in (axes if isinstance(axes, tuple) else (axes,))]
    if sorted(order) != list(range(rank)):
        raise ShapeError(Code.E0303, f"`axes` must name each of the {rank} axes once", f"{{0}} is {a.type}")
    return permute(a, order)


def swapaxes(a: Node, axis1: int, axis2: int) -> Node:
    rank = len(shape_of(a))
    order = list(range(rank))
    one, two = axis_of(axis1, rank) + rank, axis_of(axis2, rank) + rank
    order[one], order[two] = order[two], order[one]
    return permute(a, order)


def moveaxis(a: Node, source: object, destination: object) -> Node:
    rank = len(shape_of(a))
    origin, target = ([axis_of(axis, rank) + rank for axis in (axes if isinstance(axes, tuple) else (axes,))] for axes in (source, destination))
    if len(origin) != len(target) or len(set(origin)) < len(origin) or len(set(target)) < len(target):
        raise ShapeError(Code.E0303, "`source` and `destination` must name as many axes, each once", f"{{0}} is {a.type}")
    order = [i for i in range(rank) if i not in origin]
    for at, axis in sorted(zip(target, origin, strict=True)):
        order.insert(at, axis)
    return permute(a, order)


# concatenate, stack --------------------------------------------------------------------------------------------------


def _joined_dtype(types: Sequence[TensorType]) -> str:
    return max((each.dtype for each in types), key=("bool", "int", "float").index)


def _infer_concatenate(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    axis = int(str(attrs["axis"]))
    first = types[0].known
    size = ZERO
    for i, each in enumerate(types):
        shape = each.known
        shown = f"{{0}} is {types[0]}, {{{i}}} is {each}"
        if len(shape) != len(first):
            raise ShapeError(Code.E0302, f"arrays of {len(first)} and {len(shape)} axes cannot be joined", shown, "add an axis of size 1 with `[None, :]`")
        for k in range(-len(first), 0):
            if k != axis and not same(first[k], shape[k]):
                help = "join them along that axis, or declare the two sizes with one name"
                raise ShapeError(Code.E0305, f"arrays to join differ beside the axis: {first[k]} and {shape[k]}", shown, help)
        size = size + shape[axis]
    at = len(first) + axis
    return TensorType(_joined_dtype(types), (*first[:at], size, *first[at + 1 :]))


def _emit_concatenate(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    where = f", axis={_left(node)}" if _left(node) else ""
    return Text(f"np.concatenate({tuple_text([arg.text for arg in args])}{where})")


def _vjp_concatenate(node: Apply, g: Node) -> Sequence[Node | None]:
    start = ZERO
    parts: list[Node | None] = []
    for arg in node.args:
        size = arg.type.known[_axis(node)]
        parts.append(narrow(g, _axis(node), start, start + size) if arg.type.dtype == "float" else None)
        start = start + size
    return parts


CONCATENATE = Op("concatenate", _infer_concatenate, _emit_concatenate, _vjp_concatenate, linear=True)


def _one_kind(args: Sequence[Node]) -> list[Node]:
    """Arrays of one kind of number, so that integers beside float32 stay float32; Python numbers take it anyway."""
    dtype = _joined_dtype([arg.type for arg in args])
    return [arg if arg.type.weak else cast(arg, dtype) for arg in args]


def concatenate(arrays: Sequence[Node], axis: object = 0) -> Node:
    if axis is None:
        arrays, axis = [flat(each) for each in arrays], 0
    at = axis_of(axis, len(shape_of(arrays[0])))
    return arrays[0] if len(arrays) == 1 else apply(CONCATENATE, *_one_kind(arrays), axis=at)


def _infer_stack(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    first = types[0].known
    for i, each in enumerate(types):
        if len(each.known) != len(first) or not all(map(same, first, each.known)):
            shown, help = f"{{0}} is {types[0]}, {{{i}}} is {each}", "`concatenate` joins arrays of different sizes along an axis"
            raise ShapeError(Code.E0305, "arrays to stack have different shapes", shown, help)
    at = len(first) + 1 + int(str(attrs["axis"]))
    return TensorType(_joined_dtype(types), (*first[:at], Dim.number(len(types)), *first[at:]))


def _emit_stack(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    # a Python number beside float32 would make float64
    kind = f", dtype={dtype_text(node.type.dtype, printer)}" if any(arg.type.weak for arg in node.args) else ""
    if len(node.type.known) == 1:
        return Text(f"np.array([{', '.join(arg.text for arg in args)}]{kind})")
    where = f", axis={_left(node)}" if _left(node) else ""
    return Text(f"np.stack({tuple_text([arg.text for arg in args])}{where}{kind})")


def _vjp_stack(node: Apply, g: Node) -> Sequence[Node | None]:
    return [pick(g, _axis(node), i) if arg.type.dtype == "float" else None for i, arg in enumerate(node.args)]


STACK = Op("stack", _infer_stack, _emit_stack, _vjp_stack, linear=True, latex="[{*}]")


def stack(arrays: Sequence[Node], axis: object = 0) -> Node:
    at = axis_of(axis, len(shape_of(arrays[0])) + 1)
    return apply(STACK, *_one_kind(arrays), axis=at)


def hstack(arrays: Sequence[Node]) -> Node:
    """Side by side: along the second axis, or the only one."""
    arrays = [flat(each) if shape_of(each) == () else each for each in arrays]
    return concatenate(arrays, 0 if len(shape_of(arrays[0])) == 1 else 1)


def vstack(arrays: Sequence[Node]) -> Node:
    """One below the other: along the first axis; a vector is a row."""
    return concatenate([reshape(flat(each), (ONE, *shape_of(flat(each)))) if len(shape_of(each)) < 2 else each for each in arrays], 0)


def split(ary: Node, indices_or_sections: object, axis: int) -> tuple[Node, ...]:
    """A tuple of equal parts, or of the parts between the indices."""
    at = axis_of(axis, len(shape_of(ary)))
    size = shape_of(ary)[at]
    if isinstance(indices_or_sections, tuple):
        inner = [as_dim(each) for each in indices_or_sections if isinstance(each, (int, Dim)) and not isinstance(each, bool)]
        bounds = [ZERO, *(_place(each, size) for each in inner), size]
        return tuple(index(ary, (*[FULL] * (len(shape_of(ary)) + at), ("slice", low, high, 1))) for low, high in pairwise(bounds))
    if not isinstance(indices_or_sections, int) or indices_or_sections < 1:
        raise ShapeError(Code.E0204, "`split` takes a number of parts, or a tuple of indices", help="write `split(x, 3)` or `split(x, (2, 5))`")
    each = size.divided(Dim.number(indices_or_sections))
    if each is None and size.constant is not None:
        raise ShapeError(Code.E0305, f"an axis of {size} does not split into {indices_or_sections} equal parts", f"{{0}} is {ary.type}")
    if each is None:
        require(Dim.number(indices_or_sections), "divides", size, "the parts must be equal")
        each = size // indices_or_sections
    bounds = [*(each * i for i in range(indices_or_sections)), size]
    return tuple(narrow(ary, at, low, high) for low, high in pairwise(bounds))


def _place(bound: Dim, size: Dim) -> Dim:
    """A split point, counted from the end where it is negative, cut off where the axis ends."""
    number_, length = bound.constant, size.constant
    if number_ is None or length is None:
        return bound if number_ is None or number_ >= 0 else size + number_
    return Dim.number(min(max(number_ + length if number_ < 0 else number_, 0), length))


# tile, repeat --------------------------------------------------------------------------------------------------------


def _infer_tile(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    reps = typing_cast(Shape, attrs["reps"])
    return TensorType(types[0].dtype, tuple(dim * count for dim, count in zip(types[0].known, reps, strict=True)))


def _emit_tile(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    shown = [printer.dim(each) for each in typing_cast(Shape, node.attr("reps"))]
    return Text(f"np.tile({args[0].text}, {shown[0] if len(shown) == 1 else tuple_text(shown)})")


def _vjp_tile(node: Apply, g: Node) -> Sequence[Node | None]:
    shape, reps = node.args[0].type.known, typing_cast(Shape, node.attr("reps"))
    repeated = [i for i, count in enumerate(reps) if count != ONE]
    wide: list[Dim] = []
    summed: list[int] = []
    for i, dim in enumerate(shape):
        if i in repeated:
            summed.append(len(wide))
            wide.append(reps[i])
        wide.append(dim)
    return (total(reshape(g, tuple(wide)), tuple(summed)),)


TILE = Op("tile", _infer_tile, _emit_tile, _vjp_tile, linear=True)


def tile(A: Node, reps: Shape) -> Node:
    """A as a whole, repeated along each axis."""
    rank = max(len(reps), len(shape_of(A)))
    A = reshape(A, ((ONE,) * (rank - len(shape_of(A))) + shape_of(A)))
    reps = (ONE,) * (rank - len(reps)) + reps
    return A if all(each == ONE for each in reps) else apply(TILE, A, reps=reps)


def _infer_repeat(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    shape, axis = types[0].known, int(str(attrs["axis"]))
    at = len(shape) + axis
    return TensorType(types[0].dtype, (*shape[:at], shape[at] * typing_cast(Dim, attrs["repeats"]), *shape[at + 1 :]))


def _emit_repeat(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    where = f", axis={_left(node)}" if len(node.type.known) > 1 else ""
    return Text(f"np.repeat({args[0].text}, {printer.dim(typing_cast(Dim, node.attr('repeats')))}{where})")


def _vjp_repeat(node: Apply, g: Node) -> Sequence[Node | None]:
    shape, axis = node.args[0].type.known, _axis(node)
    at = len(shape) + axis
    wide = (*shape[: at + 1], typing_cast(Dim, node.attr("repeats")), *shape[at + 1 :])
    return (total(reshape(g, wide), axis if axis == -1 else at + 1),)


REPEAT = Op("repeat", _infer_repeat, _emit_repeat, _vjp_repeat, linear=True)


def repeat(a: Node, repeats: object, axis: int | None) -> Node:
    """Each entry several times: as often as ``repeats`` says, for all or for each."""
    if axis is None:
        a, axis = flat(a), -1
    at = axis_of(axis, len(shape_of(a)))
    counts = repeats if isinstance(repeats, tuple) else (repeats,)
    if any(not isinstance(each, (int, Dim)) or isinstance(each, bool) or (isinstance(each, int) and each < 0) for each in counts):
        raise ShapeError(Code.E0204, "`repeats` is an integer, or one for each entry", help="write `repeat(x, 2)` or `repeat(x, (1, 0, 2))`")
    if len(counts) == 1:
        return apply(REPEAT, a, repeats=as_dim(counts[0]), axis=at)
    if not same(shape_of(a)[at], Dim.number(len(counts))):
        raise ShapeError(Code.E0305, f"{len(counts)} repeats for an axis of {shape_of(a)[at]}", f"{{0}} is {a.type}")
    places = [number(i) for i, each in enumerate(counts) for _ in range(int(str(each)))]
    lead = [FULL] * (len(shape_of(a)) + at)
    return index(a, (*lead, ("array", 0)), (stack(places, 0),)) if places else narrow(a, at, ZERO, ZERO)


# pad -----------------------------------------------------------------------------------------------------------------

_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")
Widths = tuple[tuple[Dim, Dim], ...]


def _widths(attrs: Mapping[str, object]) -> Widths:
    return typing_cast(Widths, attrs["widths"])


def _infer_pad(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    shape = types[0].known
    for dim, (before, after) in zip(shape, _widths(attrs), strict=True):
        if attrs["mode"] == "reflect" and dim == ONE != before + after + 1:
            raise ShapeError(Code.E0305, "an axis of size 1 has nothing to reflect", f"{{0}} is {types[0]}")
    return TensorType(types[0].dtype, tuple(dim + before + after for dim, (before, after) in zip(shape, _widths(attrs), strict=True)))


def _emit_pad(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    mode, fill = node.attr("mode"), node.attr("fill")
    widths = [(printer.dim(before), printer.dim(after)) for before, after in _widths(dict(node.attrs))]
    pairs = [f"({before}, {after})" for before, after in widths]
    if mode == "constant":
        return Text(f"_pad({args[0].text}, {tuple_text(pairs)}{f', {fill!r}' if fill else ''})")
    shown = tuple_text(pairs) if len(set(pairs)) > 1 else pairs[0] if widths[0][0] != widths[0][1] else widths[0][0]
    return Text(f'np.pad({args[0].text}, {shown}, mode="{mode}")')


def _vjp_pad(node: Apply, g: Node) -> Sequence[Node | None]:
    """The padding is cut off; where it repeats entries, what it got is added to them, found by padding the indices alike."""
    shape = node.args[0].type.known
    for axis, (dim, (before, after)) in enumerate(zip(shape, _widths(dict(node.attrs)), strict=True)):
        if before == after == ZERO:
            continue
        at = axis - len(shape)
        if node.attr("mode") == "constant":
            g = narrow(g, at, before, before + dim)
            continue
        origins = apply(PAD, arange(dim), widths=((before, after),), mode=node.attr("mode"), fill=0)
        have = shape_of(g)
        g = scatter(g, (*[FULL] * axis, ("array", 0)), (origins,), (*have[:axis], dim, *have[axis + 1 :]))
    return (g,)


PAD = Op("pad", _infer_pad, _emit_pad, _vjp_pad, linear=True)


def pad(array: Node, pad_width: object, mode: str, constant_values: object) -> Node:
    """Entries put around: a constant, or the array's own repeated."""
    shape = shape_of(array)
    if mode not in _MODES:
        raise ShapeError(Code.E0204, f"`mode` of `pad` is one of {', '.join(map(repr, _MODES))}, not {mode!r}")
    if not isinstance(constant_values, (int, float)):
        raise ShapeError(Code.E0204, "`constant_values` of `pad` is one number", help="write `pad(x, 1, constant_values=0.5)`")
    widths = _pairs(pad_width, len(shape))
    if all(before == after == ZERO for before, after in widths):
        return array
    return apply(PAD, array, widths=widths, mode=mode, fill=constant_values)


def _pairs(pad_width: object, rank: int) -> Widths:
    """NumPy's spellings: one number, one pair, or a pair for each axis."""
    parts = pad_width if isinstance(pad_width, tuple) else (pad_width,)
    pairs = [each if isinstance(each, tuple) else None for each in parts]
    if all(each is None for each in pairs):
        # (a,) is (a, a), for all axes; (a, b) is one pair for all axes
        pairs = [parts if len(parts) == 2 else parts * 2]
    found: list[tuple[Dim, Dim]] = []
    for pair in pairs:
        ends = pair * 2 if pair is not None and len(pair) == 1 else pair
        if ends is None or len(ends) != 2 or not all(isinstance(each, (int, Dim)) and not isinstance(each, bool) for each in ends):
            raise ShapeError(Code.E0204, "`pad_width` is an integer, a pair, or a pair for each axis")
        found.append((as_dim(ends[0]), as_dim(ends[1])))
    if len(found) not in (1, rank) or any(end.constant is not None and end.constant < 0 for both in found for end in both):
        raise ShapeError(Code.E0204, f"`pad_width` needs a pair of sizes for each of the {rank} axes")
    return tuple(found * rank if len(found) == 1 else found)


OPS = (CONCATENATE, STACK, TILE, REPEAT, PAD)

FUNCTIONS = (
    function(
        "transpose(a, *axes: axes)",
        "shape",
        "The axes reversed, or in the order given.",
        transpose,
        derivative="g with its axes put back",
        cases=(
            "transpose(x)",
            "x.T",
            "transpose(x, (1, 0, 2)) | x: [2, 3, 4]",
            "x.transpose(2, 0, 1) | x: [2, 3, 4]",
            "transpose(x) | x: [4]",
            "x.T | x: [2, 3, 4]",
        ),
    ),
    function(
        "swapaxes(a, axis1: int, axis2: int)",
        "shape",
        "Two axes exchanged.",
        swapaxes,
        derivative="g with them exchanged again",
        cases=("swapaxes(x, 0, 1)", "x.swapaxes(-1, 0) | x: [2, 3, 4]", "swapaxes(x, -1, -2) | x: [2, 3, 4]"),
    ),
    function(
        "moveaxis(a, source: axes, destination: axes)",
        "shape",
        "Axes moved to other places, the rest in their order.",
        moveaxis,
        derivative="g with its axes put back",
        cases=("moveaxis(x, 0, -1) | x: [2, 3, 4]", "moveaxis(x, (0, 1), (2, 0)) | x: [2, 3, 4]", "moveaxis(x, -1, 0)"),
    ),
    function(
        "concatenate(arrays: arrays, axis: axis | None = 0)",
        "shape",
        "Arrays joined along an axis; laid out flat without one.",
        concatenate,
        derivative="g parted again",
        cases=(
            "concatenate([x, y])",
            "concatenate((x, y), axis=1) | x: [3, 4]; y: [3, 2]",
            "concatenate([x, y, x], axis=-1)",
            "concatenate([x, y], axis=None) | x: [3, 4]; y: [2]",
            "concatenate([x, i]) | x: [3]; i: int[2] in 0:5",
            "concatenate([x, y]) | x: [N]; y: [M]",
        ),
    ),
    function(
        "stack(arrays: arrays, axis: axis = 0)",
        "shape",
        "Arrays of one shape joined along a new axis.",
        stack,
        derivative="g parted again",
        cases=("stack([x, y])", "stack([x, y], axis=1)", "stack((x, y), -1)", "stack([x, y, 2.0]) | x: []; y: []", "[[x, 1], [2, y]] | x: []; y: []"),
    ),
    function(
        "hstack(tup: arrays)",
        "shape",
        "Arrays side by side: along the second axis, or vectors along their only one.",
        hstack,
        derivative="g parted again",
        cases=("hstack([x, y])", "hstack([x, y]) | x: [3]; y: [2]"),
    ),
    function(
        "vstack(tup: arrays)",
        "shape",
        "Arrays one below the other; a vector is a row.",
        vstack,
        derivative="g parted again",
        cases=("vstack([x, y])", "vstack([x, y]) | x: [3]; y: [3]", "vstack([x, y]) | x: [2, 3]; y: [3]"),
    ),
    function(
        "split(ary, indices_or_sections: static, axis: axis = 0)",
        "shape",
        "A tuple of equal parts, or of the parts between the indices.",
        split,
        derivative="the parts' cotangents joined",
        cases=("split(x, 2, axis=1)[1]", "split(x, [1, 3], axis=1)[1]", "split(x, 3)[0] * y[1]", "split(x, (2,))[1] | x: [5]", "split(x, 2)[1] | x: [2 * N]"),
    ),
    function(
        "tile(A, reps: shape)",
        "shape",
        "A as a whole, repeated along each axis.",
        tile,
        derivative="g summed over the copies",
        cases=("tile(x, 2)", "tile(x, (2, 1))", "tile(x, (2, 3, 2))", "tile(x, (2, 2)) | x: [3]", "tile(x, (N, 1)) | x: [N, 2]"),
    ),
    function(
        "repeat(a, repeats: static, axis: axis = None)",
        "shape",
        "Each entry several times, along an axis or of a laid out flat.",
        repeat,
        derivative="g summed over the copies",
        cases=("repeat(x, 2)", "repeat(x, 2, axis=0)", "repeat(x, 3, axis=-1)", "x.repeat([1, 0, 2], axis=0)", "repeat(x, 2, axis=1) | x: [2, 3, 4]"),
    ),
    function(
        "pad(array, pad_width: static, mode: text = 'constant', *, constant_values: static = 0)",
        "shape",
        "Entries put around: a constant, or with mode 'edge', 'reflect', 'symmetric' or 'wrap' the array's own.",
        pad,
        derivative="g without the padding; what a copied entry got goes to its origin",
        cases=(
            "pad(x, 1)",
            "pad(x, ((1, 2), (0, 3)))",
            "pad(x, (2, 1), constant_values=1.5) | x: [4]",
            "pad(x, ((0, 0), (1, 0)), mode='constant')",
            "pad(x, 2, mode='edge')",
            "pad(x, ((1, 2), (3, 0)), mode='reflect')",
            "pad(x, (2, 3), mode='symmetric')",
            "pad(x, (2, 3), 'wrap') | x: [4]",
            "pad(x, (1, 1)) | x: [N]",
        ),
    ),
)

__all__ = ["CONCATENATE", "FUNCTIONS", "OPS", "PAD", "REPEAT", "STACK", "TILE", "broadcast_to", "concatenate", "reshape", "spread", "stack", "transpose"]
