"""Indexing as NumPy has it, and its adjoint. An index is a tuple of items: ``("int", i)``, ``("slice", start, stop, step)``,
``("newaxis",)``, ``("array", k)`` where k counts the index arrays among the arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast as typing_cast

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply
from dsl.ops.arguments import known_help
from dsl.ops.broadcasting import broadcast_to, flat, reshape, sum_to, tuple_text
from dsl.ops.core import add, axis_of, integers, number, shape_of, where
from dsl.ops.elementwise import cast, ew
from dsl.ops.making import arange
from dsl.ops.spec import ATOM, Op, Printer, Text, function
from dsl.types import ONE, ZERO, Dim, Shape, ShapeError, TensorType, broadcast, join, product, require

Item = tuple[object, ...]
FULL: Item = ("slice", None, None, 1)

# shapes --------------------------------------------------------------------------------------------------------------


def normalise_int(index: Dim, size: Dim) -> Dim:
    """Check an integer index against its axis; the same index. Raises ShapeError where it is out of range."""
    number, length = index.constant, size.constant
    if number is not None and length is not None and not -length <= number < length:
        raise ShapeError(Code.E0308, f"index {number} is out of range for an axis of {length}", "{0}", f"indices go from {-length} to {length - 1}")
    if number is None or length is None:
        needed = -index if _from_the_end(index) else index + 1
        room = (size - needed).constant
        if room is not None and room < 0:
            reach = f"from -{size} to {size} - 1" if len(size.terms) < 2 else f"from -({size}) to {size} - 1"
            raise ShapeError(Code.E0308, f"index {index} is out of range for an axis of {size}", "{0}", f"indices go {reach}")
        if room is None:
            require(size, ">=", needed, f"index {index} must be in range")
    return index


def _from_the_end(place: Dim) -> bool:
    """Whether a place counts from the end: it has negative terms, and no others."""
    return place != ZERO and all(factor < 0 for _, factor in place.terms)


def slice_size(start: Dim | None, stop: Dim | None, step: int, size: Dim) -> Dim:
    """How many entries a slice takes. Of a symbolic axis a slice is assumed to fit, and the head of the function checks it."""
    if not step:
        raise ShapeError(Code.E0308, "the step of a slice is 0")
    low, high = (None if each is None else each.constant for each in (start, stop))
    if size.constant is not None and (start is None) == (low is None) and (stop is None) == (high is None):
        return Dim.number(len(range(*slice(low, high, step).indices(size.constant))))
    first, last = (_within(_bound(each, size), size if step > 0 else size - 1) for each in (start, stop))
    if step > 0:
        span = (size if last is None else last) - (ZERO if first is None else first)
    else:
        span = (size - 1 if first is None else first) - (Dim.number(-1) if last is None else last)
    if first is not None and last is not None and span.constant is None and any(factor < 0 for _, factor in span.terms):
        require(*((last, ">=", first) if step > 0 else (first, ">=", last)), "the slice must fit")
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
    if any(factor < 0 for _, factor in bound.terms):
        require(bound, ">=", ZERO, "the slice must fit")
    return bound


def _within(bound: Dim | None, most: Dim) -> Dim | None:
    """A bound that is at most so much: cut off where it is known to be more, else checked."""
    if bound is None:
        return None
    room = (most - bound).constant
    if room is None and not (most - bound).certain:
        require(most, ">=", bound, "the slice must fit")
    return most if room is not None and room < 0 else bound


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


# index ---------------------------------------------------------------------------------------------------------------


def _items(node: Apply) -> tuple[Item, ...]:
    return typing_cast("tuple[Item, ...]", node.attr("items"))


def _infer_index(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    items = typing_cast("tuple[Item, ...]", attrs["items"])
    return TensorType(types[0].dtype, result_shape(types[0].known, items, types[1:]))


def items_text(node: Apply, arrays: Sequence[Text], printer: Printer) -> str:
    """What stands between the brackets."""
    shown: list[str] = []
    for item in _items(node):
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
    while len(shown) > 1 and shown[-1] == ":":
        shown.pop()
    return ", ".join(shown)


def _emit_index(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    if _picks_rows(node, node.args[1:]):
        return Text(f"_rows({args[0].text}, {args[1].text})")
    return Text(f"{args[0].at(ATOM)}[{items_text(node, args[1:], printer)}]")


def _picks_rows(node: Apply, arrays: Sequence[Node]) -> bool:
    """Whether the index is one array, along the first axis."""
    first, *others = _items(node)
    return first[0] == "array" and all(item == FULL for item in others) and arrays[0].type.shape != ()


def _vjp_index(node: Apply, g: Node) -> Sequence[Node | None]:
    return (apply(SCATTER, g, *node.args[1:], items=_items(node), shape=shape_of(node.args[0])), *[None] * (len(node.args) - 1))


def _latex_index(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"{{{args[0].at(ATOM)}}}_{{[{items_text(node, args[1:], printer)}]}}")


INDEX = Op("index", _infer_index, _emit_index, _vjp_index, linear=True, view=True, latex=_latex_index)


def index(x: Node, items: Sequence[Item], arrays: Sequence[Node] = ()) -> Node:
    """``x[items]``, every item given and none an ellipsis."""
    items = _from_the_start(items, x)
    if all(item == FULL for item in items):
        return x
    return apply(INDEX, x, *arrays, items=items)


def _from_the_start(items: Sequence[Item], x: Node) -> tuple[Item, ...]:
    """The items of an index of x, with bounds of slices that are made of dimensions and count from the end, as in ``x[-H:]``, counted from the start.
    Raises ShapeError."""
    _check_slices(items)
    shape = shape_of(x)
    used = sum(item[0] != "newaxis" for item in items)
    if used > len(shape):
        raise ShapeError(Code.E0302, f"{used} indices for an array of {len(shape)} axes", f"{{0}} is {x.type}")
    found: list[Item] = []
    axis = 0
    for item in items:
        found.append(item if item[0] != "slice" else ("slice", _forwards(item[1], shape[axis]), _forwards(item[2], shape[axis]), item[3]))
        axis += item[0] != "newaxis"
    return tuple(found)


def _forwards(bound: object, size: Dim) -> object:
    """Such a bound. NumPy takes -0 for the start, so there must be something to count."""
    if isinstance(bound, Dim) and bound.constant is None and _from_the_end(bound):
        require(-bound, ">=", ONE, f"a slice to or from {bound} counts from the end")
        return size + bound
    return bound


def _check_slices(items: Sequence[Item]) -> None:
    """Raises ShapeError for a bound that is no integer of the compiler's: a dimension will do, a value that only the call knows will not."""
    for _, *bounds in (item for item in items if item[0] == "slice"):
        for each in bounds[:2]:
            if each is not None and not isinstance(each, Dim):
                what = "known when the program is compiled" if isinstance(each, Node) and each.type.dtype == "int" else "integers"
                help = known_help((each,), "write integers or dimensions, or index with `start + arange(n)`")
                raise ShapeError(Code.E0307, f"the bounds of a slice must be {what}", help=help)
        if not isinstance(bounds[2], int) or isinstance(bounds[2], bool):
            help = known_help(bounds[2:], "a number, such as `x[::2]`")
            raise ShapeError(Code.E0307, "the step of a slice must be an integer, known when the program is compiled", help=help)


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


# scatter: the adjoint ------------------------------------------------------------------------------------------------


def _infer_scatter(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType(types[0].dtype, typing_cast(Shape, attrs["shape"]))


def _emit_scatter(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    shape = tuple_text([printer.dim(dim) for dim in node.type.known])
    # a Python number has no precision of its own
    placed = f"{printer.dtype}.type({args[0].text})" if node.args[0].type.weak else args[0].text
    if distinct(node.args[1:]):
        return Text(f"_scatter({shape}, {_place(node, args[1:], printer)}, {placed})")
    if _picks_rows(node, node.args[1:]):
        return Text(f"_add_rows({shape}, {args[1].text}, {placed})")
    return Text(f"_scatter_add({shape}, {_place(node, args[1:], printer)}, {placed})")


def _place(node: Apply, arrays: Sequence[Text], printer: Printer) -> str:
    """An index as a value."""
    text = items_text(node, arrays, printer)
    if any(item[0] == "slice" for item in _items(node)):
        return f"np.s_[{text}]"
    return f"({text})" if len(_items(node)) > 1 else text


def slice_of(node: Apply, axis: int) -> Item | None:
    """The slice that an axis of what is picked or put comes from, where there are no index arrays; None for an axis that is new."""
    kept = [item for item in _items(node) if item[0] != "int"]
    item = kept[axis] if axis < len(kept) else FULL
    return item if item[0] == "slice" else None


def start_of(item: Item | None) -> int | None:
    """Where a slice of entries next to each other begins; None for another item, or where that is no number."""
    if item is None or item[0] != "slice" or item[3] != 1:
        return None
    return item[1].constant if isinstance(item[1], Dim) else 0


def distinct(arrays: Sequence[Node]) -> bool:
    """Whether no entry is named twice: there are only slices, or the index arrays count the entries that they name along every axis, but for one
    where they may be the order of a sort; or they are a triangle's rows and columns."""
    if not arrays:
        return True
    every = broadcast(tuple(each.type for each in arrays)) or ()
    if all(each.type.shape == every for each in arrays) and _is_triangle(arrays):
        return True
    counted = {axis for each in arrays if (axis := _counted_axis(each)) is not None and each.type.known[axis] == every[axis]}
    rest = [axis for axis in range(-len(every), 0) if axis not in counted and every[axis] != ONE]
    return not rest or (len(rest) == 1 and any(_orders(each, rest[0]) and each.type.known[rest[0]] == every[rest[0]] for each in arrays))


def _counted_axis(node: Node) -> int | None:
    """The axis, counted from the right, along which an index array counts upwards from 0 or more."""
    if isinstance(node, Apply) and node.op.name in ("reshape", "index") and len(node.args) == 1:
        long = [i - len(node.type.known) for i, dim in enumerate(node.type.known) if dim != ONE]
        inner = node.args[0]
        same_entries = len(long) == 1 and len(inner.type.known) == 1 and node.type.known[long[0]] == inner.type.known[0]
        whole = node.op.name == "reshape" or all(item in (FULL, ("newaxis",)) for item in _items(node))
        return long[0] if same_entries and whole and _counted_axis(inner) is not None else None
    if not (isinstance(node, Apply) and node.op.name == "arange"):
        return None
    start, step = (typing_cast(Dim, node.attr(name)) for name in ("start", "step"))
    return -1 if all(factor > 0 for dim in (start, step) for _, factor in dim.terms) else None


def _orders(node: Node, axis: int) -> bool:
    """Whether an index array is the order of a sort along an axis, or some of it."""
    while isinstance(node, Apply) and node.op.name == "index" and all(item[0] == "slice" for item in _items(node)):
        node = node.args[0]
    return isinstance(node, Apply) and node.op.name == "argsort" and node.attr("axis") == axis


def _is_triangle(arrays: Sequence[Node]) -> bool:
    """Whether the rows and the columns of one triangle are among the index arrays."""
    parts = [each for each in arrays if isinstance(each, Apply) and each.op.name == "index" and _is_op(each.args[0], "triangle_indices")]
    return len({each.args[0] for each in parts}) == 1 and {_items(each) for each in parts} == {(("int", ZERO),), (("int", ONE),)}


def _is_op(node: Node, name: str) -> bool:
    return isinstance(node, Apply) and node.op.name == name


def _vjp_scatter(node: Apply, g: Node) -> Sequence[Node | None]:
    return (index(g, _items(node), node.args[1:]), *[None] * (len(node.args) - 1))


SCATTER = Op("scatter", _infer_scatter, _emit_scatter, _vjp_scatter, linear=True)


def scatter(g: Node, items: Sequence[Item], arrays: Sequence[Node], shape: Shape) -> Node:
    """Zeros of a shape with g added at an index."""
    return apply(SCATTER, g, *arrays, items=tuple(items), shape=shape)


# set: an update of a copy -----------------------------------------------------------------------------------------------


def _infer_set(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType(types[0].dtype, types[0].shape)


def _emit_set(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"_set_at({args[0].text}, {_place(node, args[2:], printer)}, {args[1].text})")


def _vjp_set(node: Apply, g: Node) -> Sequence[Node | None]:
    """What was overwritten gets nothing. Where an index may name an entry twice, only the value that was written last gets something."""
    x, value, *arrays = node.args
    items = _items(node)
    kept = apply(SET, g, cast(number(0.0), "float"), *arrays, items=items)
    if value.type.dtype != "float":
        return kept, *[None] * (1 + len(arrays))
    written = index(g, items, arrays)
    if not distinct(arrays):
        target = shape_of(written)
        counted = reshape(arange(product(target)), target)
        last = index(apply(SET, broadcast_to(number(0), shape_of(x)), counted, *arrays, items=items), items, arrays)
        written = where(ew("equal", last, counted), written, number(0.0))
    return kept, sum_to(written, value), *[None] * len(arrays)


UPDATES = ("set", "add")
SET = Op("set", _infer_set, _emit_set, _vjp_set, linear=True)


def update(x: Node, items: Sequence[Item], arrays: Sequence[Node], value: Node, how: str) -> Node:
    """``x.at[items].set(value)`` or ``.add(value)``: x is left as it was. Raises ShapeError."""
    if how not in UPDATES:
        raise ShapeError(Code.E0204, f"`.at[…]` has no `{how}`", help="write `x.at[i].set(v)` or `x.at[i].add(v)`")
    items = _from_the_start(items, x)
    shape_of(value, 0)
    value = cast(value, x.type.dtype)
    wide = broadcast_to(value, result_shape(shape_of(x), items, [each.type for each in arrays]))
    if how == "add":
        return add(x, scatter(wide, items, arrays, shape_of(x)))
    return apply(SET, x, value, *arrays, items=items)


# take_along_axis -----------------------------------------------------------------------------------------------------


def _axis(node: Apply) -> int:
    return int(str(node.attr("axis")))


def _infer_take(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    x, indices = types[0].known, types[1].known
    axis = int(str(attrs["axis"]))
    if len(x) != len(indices):
        raise ShapeError(Code.E0302, f"`take_along_axis` needs as many axes in both: {len(x)} and {len(indices)}", f"{{0}} is {types[0]}, {{1}} is {types[1]}")
    shape = []
    for i, (one, two) in enumerate(zip(x, indices, strict=True)):
        try:
            shape.append(two if i - len(x) == axis else join(one, two))
        except ValueError as problem:
            raise ShapeError(Code.E0301, f"shapes do not broadcast: {problem}", f"{{0}} is {types[0]}, {{1}} is {types[1]}") from None
    return TensorType(types[0].dtype, tuple(shape))


def _emit_take(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    axis = _axis(node)
    return Text(f"np.take_along_axis({args[0].text}, {args[1].text}, axis={axis if axis == -1 else axis + len(node.type.known)})")


def _vjp_take(node: Apply, g: Node) -> Sequence[Node | None]:
    """The adjoint is that of the index which spells it out: an open grid, with the indices on their axis."""
    x, indices = node.args
    shape = shape_of(x)
    items: list[Item] = []
    arrays: list[Node] = []
    for axis, dim in enumerate(shape):
        if axis - len(shape) != _axis(node) and dim == ONE:
            items.append(("int", ZERO))
            continue
        items.append(("array", len(arrays)))
        along = reshape(arange(dim), (dim, *[ONE] * (len(shape) - 1 - axis)))
        arrays.append(indices if axis - len(shape) == _axis(node) else along)
    return scatter(g, items, arrays, shape), None


TAKE = Op("take_along_axis", _infer_take, _emit_take, _vjp_take, linear=True)


def take_along_axis(arr: Node, indices: Node, axis: int | None) -> Node:
    """Entries along an axis where an array says; one of each row is picked by an index."""
    indices = integers(indices)
    if axis is None:
        arr, axis = flat(arr), -1
    axis, (*rows, _) = axis_of(axis, len(shape_of(arr))), shape_of(arr)
    if axis == -1 and rows and ONE not in rows and shape_of(indices) == (*rows, ONE):
        counted = grid(rows)
        items: list[Item] = [("array", i) for i in range(len(rows) + 1)]
        return reshape(index(arr, items, (*counted, reshape(indices, tuple(rows)))), (*rows, ONE))
    return apply(TAKE, arr, indices, axis=axis)


def grid(shape: Sequence[Dim]) -> list[Node]:
    """Arrays of indices that count the entries along each axis, and broadcast to the shape."""
    return [reshape(arange(dim), (dim, *[ONE] * (len(shape) - 1 - axis))) for axis, dim in enumerate(shape)]


def place_in_rows(node: Node) -> tuple[Node, int] | None:
    """The array that says which entry an index takes of each row along an axis, or where a row's one entry is put, and that axis, counted from the right;
    None of any other node. The other index arrays count the rows, and axes beyond them go along."""
    if not (isinstance(node, Apply) and node.op in (INDEX, SCATTER)):
        return None
    shape, arrays = shape_of(node if node.op is SCATTER else node.args[0]), list(node.args[1:])
    first = len(arrays)
    if any(item != (("array", i) if i < first else FULL) for i, item in enumerate(_items(node))):
        return None
    for at, place in reversed(list(enumerate(arrays))):
        rows = (*shape[:at], *shape[at + 1 : first])
        if shape_of(place) == rows and arrays[:at] + arrays[at + 1 :] == grid(rows):
            return place, at - len(shape)
    return None


def take(a: Node, indices: Node, axis: int | None) -> Node:
    """Entries along an axis by integer indices, of any shape; they stand where the axis was."""
    indices = integers(indices)
    if axis is None:
        a, axis = flat(a), 0
    at = axis_of(axis, len(shape_of(a))) + len(shape_of(a))
    return index(a, (*[FULL] * at, ("array", 0)), (indices,))


OPS = (INDEX, SCATTER, SET, TAKE)

FUNCTIONS = (
    function(
        "take(a, indices, axis: axis = None)",
        "shape",
        "Entries by integer indices along an axis, or of a laid out flat.",
        take,
        derivative="g added up at the indices",
        cases=(
            "take(x, i) | x: [3, 4]; i: int[5] in 0:12",
            "take(x, i, axis=0) | x: [3, 4]; i: int[5] in 0:3",
            "take(x, i, axis=-1) | x: [3, 4]; i: int[2, 2] in 0:4",
            "x.take([2, 0, 2]) | x: [4]",
            "take(x, 2, axis=1)",
        ),
    ),
    function(
        "take_along_axis(arr, indices, axis: axis | None = -1)",
        "shape",
        "Entries by an array of indices along one axis, the other axes going along.",
        take_along_axis,
        derivative="g added up at the indices",
        cases=(
            "take_along_axis(x, i, axis=1) | x: [3, 4]; i: int[3, 2] in 0:4",
            "take_along_axis(x, i, axis=0) | x: [3, 4]; i: int[5, 4] in 0:3",
            "take_along_axis(x, i) | x: [2, 3, 4]; i: int[2, 3, 1] in 0:4",
            "take_along_axis(x, i, axis=0) | x: [3, 4]; i: int[2, 1] in 0:3",
            "take_along_axis(x, i, axis=None) | x: [3, 4]; i: int[5] in 0:12",
            "take_along_axis(x, i, axis=1) | x: [1, 4]; i: int[3, 2] in 0:4",
        ),
    ),
)

__all__ = [
    *("FULL", "FUNCTIONS", "INDEX", "OPS", "SCATTER", "TAKE", "Item"),
    *("distinct", "index", "narrow", "pick", "place_in_rows", "same", "scatter", "slice_of", "take", "take_along_axis", "update"),
]
