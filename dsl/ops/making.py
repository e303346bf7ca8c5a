"""Values made of little: dimensions as numbers, ranges, identities, constants; and another kind of number for a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast as typing_cast

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply, const
from dsl.ops.broadcasting import broadcast_to, dtype_text, reshape, spread, sum_to, total
from dsl.ops.core import add, axis_of, integers, mul, number, shape_of
from dsl.ops.elementwise import cast, ew
from dsl.ops.spec import ATOM, Op, Printer, Text, function
from dsl.types import ONE, ZERO, Dim, Shape, ShapeError, TensorType, as_dim, broadcast, product, require


def _dim(node: Apply, name: str) -> Dim:
    return typing_cast(Dim, node.attr(name))


# sizes ---------------------------------------------------------------------------------------------------------------


def _infer_number(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("int", (), weak=True)


def _emit_dimension(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    text = printer.dim(dim_of(node))
    return Text(text if text.isidentifier() else f"({text})")


DIMENSION = Op("dimension", _infer_number, _emit_dimension, latex="{dim}")


def dimension(dim: Dim) -> Node:
    """A dimension as a number in the program."""
    value = dim.constant
    return const(value) if value is not None else apply(DIMENSION, dim=dim)


def dim_of(node: Apply) -> Dim:
    """The dimension that a ``dimension`` node is."""
    return typing_cast(Dim, node.attr("dim"))


def _emit_size(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"{args[0].at(ATOM)}.size")


SIZE = Op("size", _infer_number, _emit_size, latex=r"|{0}|")


def size_of(x: Node, axes: tuple[int, ...] | None) -> Node:
    """The number of entries along some axes, or in all."""
    shape = x.type.shape
    if shape is None:
        return apply(SIZE, x)
    return dimension(product(shape if axes is None else tuple(shape[axis] for axis in axes)))


# ranges --------------------------------------------------------------------------------------------------------------


def _infer_arange(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    start, stop, step = (typing_cast(Dim, attrs[key]) for key in ("start", "stop", "step"))
    # the ceiling of a quotient, for a step of either sign
    count = -((start - stop) // step)
    return TensorType("int", (ZERO if count.constant is not None and count.constant < 0 else count,))


def _emit_arange(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    start, stop, step = (_dim(node, key) for key in ("start", "stop", "step"))
    shown = [printer.dim(stop)]
    if start != ZERO or step != ONE:
        shown.insert(0, printer.dim(start))
    if step != ONE:
        shown.append(printer.dim(step))
    return Text(f"np.arange({', '.join(shown)})")


ARANGE = Op("arange", _infer_arange, _emit_arange, latex=r"\operatorname{arange}({start}, {stop}, {step})")


def arange(stop: Dim, start: Dim | None = None, step: Dim | None = None) -> Node:
    return apply(ARANGE, start=start or ZERO, stop=stop, step=step or ONE)


def _arange(start: object, stop: object, step: object, dtype: str | None) -> Node:
    """NumPy's arange: integers and dimensions make integers; where a float is among them, all must be numbers."""
    low, high, by = (0, start, 1 if step is None else step) if stop is None else (start, stop, 1 if step is None else step)
    parts = (low, high, by)
    if any(not isinstance(each, (int, float, Dim)) or isinstance(each, bool) for each in parts):
        raise ShapeError(Code.E0204, "`arange` takes integers, dimensions or numbers")
    if by == 0:
        raise ShapeError(Code.E0204, "the step of `arange` is 0")
    if all(isinstance(each, (int, Dim)) for each in parts):
        whole = arange(*(as_dim(typing_cast("int | Dim", each)) for each in (high, low, by)))
        (size,) = whole.type.known
        if any(factor < 0 for _, factor in size.terms):
            require(size, ">=", ZERO, "the range must not be empty backwards")
        return cast(whole, dtype or "int")
    if any(isinstance(each, Dim) for each in parts):
        raise ShapeError(Code.E0204, "`arange` takes either numbers or dimensions", help="write `arange(N) * 0.1`")
    first, last, gap = (float(typing_cast(float, each)) for each in parts)
    count = max(0, -int((first - last) // gap))
    return cast(add(number(first), mul(number(gap), cast(arange(Dim.number(count)), "float"))), dtype or "float")


def _infer_linspace(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    shape = broadcast(types)
    assert shape is not None
    return TensorType("float", (typing_cast(Dim, attrs["num"]), *shape))


def _emit_linspace(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    end = "" if node.attr("endpoint") else ", endpoint=False"
    return Text(f"np.linspace({args[0].text}, {args[1].text}, {printer.dim(_dim(node, 'num'))}{end}, dtype={printer.dtype})")


def _vjp_linspace(node: Apply, g: Node) -> Sequence[Node | None]:
    """Each entry is (1 - w) start + w stop; the weights are linspaces themselves, right for one point too."""
    num, end = _dim(node, "num"), bool(node.attr("endpoint"))
    rank = len(node.type.known)
    weight = _linspace(number(0.0), number(1.0), num, end)
    rest = _linspace(number(1.0), number(0.0), num, end)
    column = (num, *[ONE] * (rank - 1))
    return [
        sum_to(total(mul(g, reshape(each, column)), -rank), arg) if arg.type.dtype == "float" else None
        for each, arg in zip((rest, weight), node.args, strict=True)
    ]


LINSPACE = Op("linspace", _infer_linspace, _emit_linspace, _vjp_linspace, linear=True)


def _linspace(start: Node, stop: Node, num: Dim, endpoint: bool) -> Node:
    shape_of(start, 0), shape_of(stop, 0)
    start, stop = (each if each.type.weak else cast(each, "float") for each in (start, stop))
    return apply(LINSPACE, start, stop, num=num, endpoint=endpoint)


# constants -----------------------------------------------------------------------------------------------------------


def _infer_eye(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType(str(attrs["dtype"]), (typing_cast(Dim, attrs["rows"]), typing_cast(Dim, attrs["columns"])))


def _emit_eye(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    rows, columns = (printer.dim(_dim(node, key)) for key in ("rows", "columns"))
    size = rows if rows == columns else f"{rows}, {columns}"
    k = node.attr("k")
    return Text(f"np.eye({size}{f', k={k}' if k else ''}, dtype={dtype_text(node.type.dtype, printer)})")


EYE = Op("eye", _infer_eye, _emit_eye, latex=r"I_{{rows} \times {columns}}")


def eye(rows: Dim, columns: Dim | None = None, k: int = 0, dtype: str = "float") -> Node:
    return apply(EYE, rows=rows, columns=rows if columns is None else columns, k=k, dtype=dtype)


def _checked(shape: Shape) -> Shape:
    for dim in shape:
        if dim.constant is not None and dim.constant < 0:
            raise ShapeError(Code.E0305, f"a dimension cannot be negative: {dim}")
    return shape


def _filled(value: float) -> Callable[..., object]:
    return lambda shape, dtype: broadcast_to(cast(const(value), dtype), _checked(shape))


def _full(shape: Shape, fill_value: Node, dtype: str | None) -> Node:
    return broadcast_to(cast(fill_value, dtype or fill_value.type.dtype), _checked(shape))


def _like(value: float) -> Callable[..., object]:
    return lambda a, dtype: spread(cast(const(value), dtype or a.type.dtype), a)


def _full_like(a: Node, fill_value: Node, dtype: str | None) -> Node:
    return spread(cast(fill_value, dtype or a.type.dtype), a)


def _one_hot(x: Node, num_classes: Dim, dtype: str, axis: int) -> Node:
    x = x if x.type.dtype == "bool" else integers(x, "a label")
    shape = shape_of(x)
    at = axis_of(axis, len(shape) + 1)
    split = len(shape) + 1 + at
    labels = reshape(x, (*shape[:split], ONE, *shape[split:]))
    classes = reshape(arange(num_classes), (num_classes, *[ONE] * (-1 - at)))
    return cast(ew("equal", labels, classes), dtype)


# stop_gradient -------------------------------------------------------------------------------------------------------


def _emit_unchanged(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return args[0]


def _vjp_none(node: Apply, g: Node) -> Sequence[Node | None]:
    return (None,)


STOP = Op("stop_gradient", lambda types, attrs: types[0], _emit_unchanged, _vjp_none, alias=True, view=True, latex=r"\operatorname{stop}({0})")


def stop_gradient(x: Node) -> Node:
    return apply(STOP, x)


def _vjp_exponent(node: Apply, g: Node) -> Sequence[Node | None]:
    return g, ew("multiply", g, node)


# a value of which exp(e) is a factor: its derivative by e is itself, however the factor was made
WITH_EXPONENT = Op("with_exponent", lambda types, attrs: types[0], _emit_unchanged, _vjp_exponent, alias=True)


def with_exponent(x: Node, e: Node) -> Node:
    return apply(WITH_EXPONENT, x, broadcast_to(e, x.type.known))


OPS = (DIMENSION, SIZE, ARANGE, LINSPACE, EYE, STOP, WITH_EXPONENT)

FUNCTIONS = (
    function(
        "zeros(shape: shape, dtype: dtype = 'float')", "making", "Zeros of a shape.", _filled(0.0), cases=("x + zeros((3, 4))", "x * zeros(4, dtype='int')")
    ),
    function(
        "ones(shape: shape, dtype: dtype = 'float')", "making", "Ones of a shape.", _filled(1.0), cases=("x + ones((3, 1))", "sum(ones((N, 2))) * x | x: [N]")
    ),
    function(
        "full(shape: shape, fill_value, dtype: dtype = None)",
        "making",
        "One value in every entry of a shape.",
        _full,
        derivative="g summed",
        cases=("full((2, 3), x) | x: []", "x + full((3, 4), 2.5)", "full((3, 4), x) | x: [4]"),
    ),
    function("zeros_like(a, dtype: dtype = None)", "making", "Zeros of a's shape and kind.", _like(0.0), cases=("x + zeros_like(x)",)),
    function(
        "ones_like(a, dtype: dtype = None)",
        "making",
        "Ones of a's shape and kind.",
        _like(1.0),
        cases=("x * ones_like(y)", "ones_like(x) / x | x: [2, 3] positive"),
    ),
    function(
        "full_like(a, fill_value, dtype: dtype = None)",
        "making",
        "One value in a's shape and kind.",
        _full_like,
        derivative="to the value: g summed",
        cases=("full_like(x, y) | x: [3, 4]; y: []", "x * full_like(x, 3)"),
    ),
    function(
        "eye(N: size, M: size = None, k: int = 0, dtype: dtype = 'float')",
        "making",
        "The identity: ones on diagonal k.",
        eye,
        cases=("x @ eye(4)", "x * eye(3, 4, k=1)", "eye(N) @ x | x: [N, 2]"),
    ),
    function(
        "arange(start: static, stop: static = None, step: static = None, dtype: dtype = None)",
        "making",
        "Numbers in a row, the stop left out: integers of integers and dimensions, else floats.",
        _arange,
        cases=(
            "x * arange(4)",
            "x * arange(2, 6)",
            "x * arange(7, -1, -2)",
            "x * arange(N) | x: [N]",
            "x * arange(0, 1, 0.25)",
            "x + arange(4, dtype='float')",
        ),
    ),
    function(
        "linspace(start, stop, num: size = 50, endpoint: flag = True)",
        "making",
        "Evenly spaced numbers on a new first axis, the stop among them unless endpoint=False.",
        _linspace,
        derivative="start and stop get g weighted by their distance",
        cases=(
            "x * linspace(0, 1, 4)",
            "linspace(x, y, 5) | x: []; y: []",
            "linspace(x, 2.0, 4, endpoint=False) | x: [3]",
            "linspace(x, y, 1) | x: []; y: []",
            "x * linspace(0, 1, N) | x: [N]",
        ),
    ),
    function(
        "one_hot(x, num_classes: size, *, dtype: dtype = 'float', axis: axis = -1)",
        "activations",
        "1 at each label on a new axis, else 0; a label out of range gives zeros.",
        _one_hot,
        cases=("x * one_hot(i, 4) | x: [3, 4]; i: int[3] in 0:4", "x * one_hot(i, 3, axis=0) | x: [3, 4]; i: int[4] in 0:3"),
    ),
    function(
        "astype(x, dtype: dtype)",
        "making",
        "x as float, int or bool; a float has the precision of the program's arguments.",
        cast,
        derivative="g where both are float; an integer or bool passes none on",
        cases=("x * astype(x > 0, 'float')", "x + i.astype('float') | i: int[4] in 0:5", "x * astype(3 * x, 'int')"),
    ),
    function(
        "stop_gradient(x)",
        "order",
        "x, taken as a constant by every derivative.",
        stop_gradient,
        derivative="none",
        cases=("x * stop_gradient(i) | x: [3]; i: int[3] in 0:5",),
    ),
)
