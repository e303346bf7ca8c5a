"""The structural functions of the language: a signature in NumPy's words, and how each is built of primitives."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import cache


from dsl.diagnostics import Code
from dsl.nodes import Node, const
from dsl.ops import contraction, making, reduction, shaping
from dsl.ops.core import add, axes_of, axis_of, div, mul, number, shape_of, sub, where
from dsl.ops.elementwise import cast, elementwise_ops, ew
from dsl.ops.indexing import FULL, index
from dsl.ops.spec import REQUIRED, Function, Param
from dsl.types import ONE, Dim, ShapeError, as_dim, product


def signature(text: str) -> tuple[Param, ...]:
    """``"x, axis=None"`` as parameters."""
    tree = ast.parse(f"def f({text}): pass").body[0]
    assert isinstance(tree, ast.FunctionDef)
    args = [each.arg for each in tree.args.args]
    defaults: list[object] = [ast.literal_eval(each) for each in tree.args.defaults]
    return tuple(map(Param, args, [REQUIRED] * (len(args) - len(defaults)) + defaults))


def _function(head: str, family: str, doc: str, build: Callable[..., object]) -> Function:
    name, _, rest = head.partition("(")
    return Function(name, signature(rest[:-1]), build, family, doc)


def _reduction(name: str) -> Callable[..., object]:
    return lambda x, axis, keepdims: reduction.reduce(name, x, axis, bool(keepdims))


def _deviation(x: Node, axis: object) -> tuple[Node, Node]:
    """x minus its mean, and the number of entries."""
    x = cast(x, "float")
    axes = axes_of(axis, len(shape_of(x))) if axis is not None or x.type.shape is not None else None
    mean = reduction.reduce("mean", x, axes, keepdims=x.type.shape is not None)
    return sub(x, mean), making.size_of(x, axes)


def _var(x: Node, axis: object, ddof: int, keepdims: bool) -> Node:
    centred, count = _deviation(x, axis)
    squares = ew("square", centred)
    if ddof == 0:
        return reduction.reduce("mean", squares, axis, keepdims)
    return div(reduction.reduce("sum", squares, axis, keepdims), sub(count, const(ddof)))


def _std(x: Node, axis: object, ddof: int, keepdims: bool) -> Node:
    return ew("sqrt", _var(x, axis, ddof, keepdims))


def _average(x: Node, axis: object, weights: Node | None) -> Node:
    if weights is None:
        return reduction.reduce("mean", x, axis)
    if axis is not None and weights.type.shape is not None and len(shape_of(weights)) == 1 < len(shape_of(x)):
        at = axis_of(axis, len(shape_of(x)))
        weights = shaping.reshape(weights, (*shape_of(weights), *[ONE] * (-1 - at)))
    return div(reduction.reduce("sum", mul(x, weights), axis), reduction.reduce("sum", weights, axis if len(shape_of(weights)) > 1 else None))


def _norm(x: Node, ord: object, axis: object, keepdims: bool) -> Node:
    if ord in (None, 2, "fro"):
        return reduction.reduce("norm", x, axis, keepdims)
    if ord == 1:
        return reduction.reduce("sum", ew("abs", x), axis, keepdims)
    if ord in ("inf", float("inf")):
        return reduction.reduce("max", ew("abs", x), axis, keepdims)
    raise ShapeError(Code.E0204, f"`ord` may be 1, 2, inf or 'fro', not {ord!r}")


def _dims(shape: object) -> tuple[Dim, ...]:
    parts = shape if isinstance(shape, (tuple, list)) else (shape,)
    for each in parts:
        if not isinstance(each, (int, Dim)) or isinstance(each, bool):
            raise ShapeError(Code.E0204, "a shape is made of integers and dimensions")
    return tuple(as_dim(each) for each in parts)


def _reshape(x: Node, *shape: object) -> Node:
    wanted = _dims(shape[0] if len(shape) == 1 else shape)
    holes = [i for i, dim in enumerate(wanted) if dim == Dim.number(-1)]
    if len(holes) > 1:
        raise ShapeError(Code.E0305, "only one dimension of a shape may be -1")
    if holes:
        rest = product(tuple(dim for i, dim in enumerate(wanted) if i != holes[0]))
        have = product(shape_of(x))
        exact = have.divided(rest) if rest.terms else None
        if exact is None and have.constant is not None:
            raise ShapeError(Code.E0305, f"{have} entries cannot be split by {rest}", f"{{0}} is {x.type}")
        wanted = tuple((exact or have // rest) if i == holes[0] else dim for i, dim in enumerate(wanted))
    return shaping.reshape(x, wanted)


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _permute(x: Node, order: Sequence[int]) -> Node:
    labels = LETTERS[: len(order)]
    return contraction.einsum(f"{labels}->{''.join(labels[i] for i in order)}", x)


def transpose(x: Node, axes: object = None) -> Node:
    rank = len(shape_of(x, 2))
    if axes is None:
        return _permute(x, range(rank)[::-1])
    assert isinstance(axes, (tuple, list))
    order = [axis_of(axis, rank) + rank for axis in axes]
    if sorted(order) != list(range(rank)):
        raise ShapeError(Code.E0303, f"`axes` must name each of the {rank} axes once", f"{{0}} is {x.type}")
    return _permute(x, order)


def _swapaxes(x: Node, axis1: object, axis2: object) -> Node:
    rank = len(shape_of(x))
    order = list(range(rank))
    a, b = axis_of(axis1, rank) + rank, axis_of(axis2, rank) + rank
    order[a], order[b] = order[b], order[a]
    return _permute(x, order)


def _moveaxis(x: Node, source: object, destination: object) -> Node:
    rank = len(shape_of(x))
    one = source if isinstance(source, tuple) else (source,)
    two = destination if isinstance(destination, tuple) else (destination,)
    origin, target = [axis_of(a, rank) + rank for a in one], [axis_of(a, rank) + rank for a in two]
    order = [i for i in range(rank) if i not in origin]
    for at, axis in sorted(zip(target, origin, strict=True)):
        order.insert(at, axis)
    return _permute(x, order)


def _expand_dims(x: Node, axis: object) -> Node:
    each = axis if isinstance(axis, tuple) else (axis,)
    rank = len(shape_of(x)) + len(each)
    places = {axis_of(one, rank) + rank for one in each}
    rest = iter(shape_of(x))
    return shaping.reshape(x, tuple(ONE if i in places else next(rest) for i in range(rank)))


def _squeeze(x: Node, axis: object) -> Node:
    shape = shape_of(x)
    rank = len(shape)
    gone = {i for i, dim in enumerate(shape) if dim == ONE} if axis is None else {a + rank for a in axes_of(axis, rank)}
    for i in gone:
        if shape[i] != ONE:
            raise ShapeError(Code.E0305, f"axis {i} has size {shape[i]}, not 1", f"{{0}} is {x.type}")
    return shaping.reshape(x, tuple(dim for i, dim in enumerate(shape) if i not in gone))


def _joined(arrays: Sequence[Node], axis: object) -> Node:
    return shaping.concatenate(arrays, axis_of(axis, len(shape_of(arrays[0]))))


def _hstack(arrays: Sequence[Node]) -> Node:
    return _joined(arrays, 0 if len(shape_of(arrays[0])) == 1 else 1)


def _vstack(arrays: Sequence[Node]) -> Node:
    return _joined([_reshape(each, 1, -1) if len(shape_of(each)) == 1 else each for each in arrays], 0)


def _stack(arrays: Sequence[Node], axis: object) -> Node:
    return shaping.stack(arrays, axis_of(axis, len(shape_of(arrays[0])) + 1))


def _split(x: Node, parts: object, axis: object) -> tuple[Node, ...]:
    from dsl.ops.indexing import narrow

    at = axis_of(axis, len(shape_of(x)))
    size = shape_of(x)[at]
    if isinstance(parts, int):
        each = size.divided(Dim.number(parts))
        if each is None:
            raise ShapeError(Code.E0305, f"an axis of {size} does not split into {parts} equal parts", f"{{0}} is {x.type}")
        bounds = [each * i for i in range(parts + 1)]
    else:
        bounds = [Dim.number(0), *_dims(parts), size]
    return tuple(narrow(x, at, low, high) for low, high in zip(bounds, bounds[1:], strict=False))


def _flip(x: Node, axis: object) -> Node:
    for one in axes_of(axis, len(shape_of(x))):
        x = reduction.flip(x, one)
    return x


def _roll(x: Node, shift: int, axis: object) -> Node:
    from dsl.ops.indexing import narrow

    if axis is None:
        return shaping.reshape(_roll(_reshape(x, -1), shift, 0), shape_of(x))
    at = axis_of(axis, len(shape_of(x)))
    size = shape_of(x)[at]
    if size.constant is not None:
        shift = shift % max(size.constant, 1)
    if shift == 0:
        return x
    cut = size - shift if shift > 0 else Dim.number(-shift)
    return shaping.concatenate([narrow(x, at, cut, size), narrow(x, at, Dim.number(0), cut)], at)


def _repeat(x: Node, repeats: object, axis: object) -> Node:
    if axis is None:
        x, axis = _reshape(x, -1), 0
    shape, (count,) = shape_of(x), _dims(repeats)
    at = axis_of(axis, len(shape)) + len(shape)
    wide = shaping.broadcast_to(shaping.reshape(x, (*shape[: at + 1], ONE, *shape[at + 1 :])), (*shape[: at + 1], count, *shape[at + 1 :]))
    return shaping.reshape(wide, (*shape[:at], shape[at] * count, *shape[at + 1 :]))


def _tile(x: Node, reps: object) -> Node:
    counts = _dims(reps)
    rank = max(len(counts), len(shape_of(x)))
    shape = (ONE,) * (rank - len(shape_of(x))) + shape_of(x)
    counts = (ONE,) * (rank - len(counts)) + counts
    narrow_shape = tuple(each for dim in shape for each in (ONE, dim))
    wide_shape = tuple(each for dim, count in zip(shape, counts, strict=True) for each in (count, dim))
    wide = shaping.broadcast_to(shaping.reshape(x, narrow_shape), wide_shape)
    return shaping.reshape(wide, tuple(dim * count for dim, count in zip(shape, counts, strict=True)))


def _triangle(x: Node, k: int, lower: bool) -> Node:
    rows, columns = shape_of(x, 2)[-2:]
    i = shaping.reshape(making.arange(rows), (rows, ONE))
    j = making.arange(columns)
    kept = ew("less_equal", j, add(i, const(k))) if lower else ew("greater_equal", j, add(i, const(k)))
    return where(kept, x, number(0))


def _diagonal(x: Node, offset: int) -> Node:
    rows, columns = shape_of(x, 2)[-2:]
    lead = shape_of(x)[:-2]
    if offset == 0 and rows == columns:
        labels = LETTERS[: len(lead)]
        return contraction.einsum(f"{labels}zz->{labels}z", x)
    count = rows if rows == columns else Dim.number(min(rows.constant or 0, columns.constant or 0))
    low, high = max(-offset, 0), max(offset, 0)
    if rows.constant is not None and columns.constant is not None:
        length = Dim.number(max(0, min(rows.constant - low, columns.constant - high)))
    else:
        length = count - abs(offset)
    i = making.arange(length)
    items = (*[FULL] * len(lead), ("array", 0), ("array", 1))
    return index(x, items, (add(i, const(low)) if low else i, add(i, const(high)) if high else i))


def _diag(x: Node, k: int) -> Node:
    shape = shape_of(x)
    if len(shape) == 2:
        return _diagonal(x, k)
    if len(shape) != 1:
        raise ShapeError(Code.E0302, "`diag` takes a vector or a matrix", f"{{0}} is {x.type}")
    if k == 0:
        return mul(making.eye(shape[0]), x)
    size = shape[0] + abs(k)
    i = making.arange(shape[0])
    from dsl.nodes import apply
    from dsl.ops.indexing import SCATTER

    low, high = add(i, const(max(-k, 0))), add(i, const(max(k, 0)))
    return apply(SCATTER, x, low, high, items=(("array", 0), ("array", 1)), shape=(size, size))


def _filled(value: float | int) -> Callable[..., object]:
    return lambda shape: shaping.broadcast_to(const(value), _dims(shape))


def _like(value: float | None) -> Callable[..., object]:
    def build(x: Node, fill: Node | None = None) -> Node:
        return shaping.spread(cast(fill, x.type.dtype) if fill is not None else cast(number(value or 0.0), x.type.dtype), x)

    return build


def _arange(start: object, stop: object, step: object) -> Node:
    low, high, by = (None if each is None else _dims(each)[0] for each in (start, stop, step))
    assert low is not None
    return making.arange(low, None, by) if high is None else making.arange(high, low, by)


def _linspace(start: Node, stop: Node, num: object) -> Node:
    (count,) = _dims(num)
    steps = cast(making.arange(count), "float")
    return add(start, mul(steps, div(sub(stop, start), making.dimension(count - 1))))


def _one_hot(labels: Node, classes: object) -> Node:
    (count,) = _dims(classes)
    wide = shaping.reshape(labels, (*shape_of(labels), ONE))
    return cast(ew("equal", wide, making.arange(count)), "float")


def _clip(x: Node, lower: Node | None, upper: Node | None) -> Node:
    if lower is not None:
        x = ew("maximum", x, lower)
    return ew("minimum", x, upper) if upper is not None else x


def _dot(x: Node, y: Node) -> Node:
    a, b = shape_of(x, 2), shape_of(y, 2)
    if not a or not b:
        return mul(x, y)
    if len(b) <= 2:
        return contraction.matmul(x, y)
    left, right = LETTERS[: len(a) - 1], LETTERS[len(a) : len(a) + len(b) - 2]
    return contraction.einsum(f"{left}z,{right}z{LETTERS[20]}->{left}{right}{LETTERS[20]}", x, y)


def _inner(x: Node, y: Node) -> Node:
    a, b = shape_of(x, 1), shape_of(y, 1)
    left, right = LETTERS[: len(a) - 1], LETTERS[len(a) : len(a) + len(b) - 1]
    return contraction.einsum(f"{left}z,{right}z->{left}{right}", x, y)


def _outer(x: Node, y: Node) -> Node:
    flat = [each if len(shape_of(each, 1)) == 1 else _reshape(each, -1) for each in (x, y)]
    return contraction.einsum("i,j->ij", *flat)


def _vdot(x: Node, y: Node) -> Node:
    flat = [each if len(shape_of(each, 1)) == 1 else _reshape(each, -1) for each in (x, y)]
    return contraction.einsum("i,i->", *flat)


def _tensordot(x: Node, y: Node, axes: object) -> Node:
    a, b = len(shape_of(x)), len(shape_of(y))
    if isinstance(axes, int):
        one, two = list(range(a - axes, a)), list(range(axes))
    else:
        assert isinstance(axes, (tuple, list))
        one = [axis_of(i, a) + a for i in (axes[0] if isinstance(axes[0], (tuple, list)) else [axes[0]])]
        two = [axis_of(i, b) + b for i in (axes[1] if isinstance(axes[1], (tuple, list)) else [axes[1]])]
    left, right = list(LETTERS[:a]), list(LETTERS[a : a + b])
    for i, j in zip(one, two, strict=True):
        right[j] = left[i]
    out = "".join([c for i, c in enumerate(left) if i not in one] + [c for j, c in enumerate(right) if j not in two])
    return contraction.einsum(f"{''.join(left)},{''.join(right)}->{out}", x, y)


def _einsum(spec: str, *args: Node) -> Node:
    text = spec.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(args):
        raise ShapeError(Code.E0204, f"`{spec}` names {len(terms)} operands, and {len(args)} are given")
    ranks = [len(shape_of(x, len(term.replace("...", "")))) for term, x in zip(terms, args, strict=True)]
    spare = [c for c in LETTERS + LETTERS.upper() if c not in text]
    lead = max((rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True) if "..." in term), default=0)
    for i, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        extra = rank - len(term.replace("...", ""))
        terms[i] = term.replace("...", "".join(spare[lead - extra : lead]))
    every = "".join(terms)
    if not arrow:
        output = ("..." if "..." in inputs else "") + "".join(sorted(c for c in set(every) if every.count(c) == 1 and c not in spare[:lead]))
    output = output.replace("...", "".join(spare[:lead]))
    for c in output:
        if c not in every:
            raise ShapeError(Code.E0204, f"`{c}` stands in the result of `{spec}` and in no operand")
    return contraction.einsum(f"{','.join(terms)}->{output}", *args)


def _kron(x: Node, y: Node) -> Node:
    (a, b), (c, d) = shape_of(x, 2), shape_of(y, 2)
    return shaping.reshape(contraction.einsum("ij,kl->ikjl", x, y), (a * c, b * d))


def _trace(x: Node, offset: int) -> Node:
    return reduction.reduce("sum", _diagonal(x, offset), -1)


def _matrix_power(x: Node, n: int) -> Node:
    if not isinstance(n, int) or n < 0:
        raise ShapeError(Code.E0204, "the exponent must be an integer, not negative")
    result: Node | None = None
    while n:
        if n & 1:
            result = x if result is None else contraction.matmul(result, x)
        n >>= 1
        x = contraction.matmul(x, x) if n else x
    return making.eye(shape_of(x)[-1]) if result is None else result


def _cross(x: Node, y: Node) -> Node:
    from dsl.ops.indexing import pick

    a, b = [[pick(each, -1, i) for i in range(3)] for each in (x, y)]
    parts = [sub(mul(a[(i + 1) % 3], b[(i + 2) % 3]), mul(a[(i + 2) % 3], b[(i + 1) % 3])) for i in range(3)]
    return shaping.stack(parts, -1)


def _elementwise(name: str) -> Callable[..., object]:
    return lambda *args: ew(name, *args)


def _table() -> list[Function]:
    reductions = [
        _function(f"{name}(x, axis=None, keepdims=False)", "reductions", doc, _reduction(name))
        for name, doc in {
            "sum": "The sum.",
            "mean": "The mean.",
            "prod": "The product.",
            "max": "The largest; ties share the gradient equally.",
            "min": "The smallest; ties share the gradient equally.",
            "any": "Whether any holds.",
            "all": "Whether all hold.",
            "argmax": "The index of the largest.",
            "argmin": "The index of the smallest.",
            "logsumexp": "log(sum(exp(x))), without overflow.",
        }.items()
    ]
    axis = [
        _function(f"{name}(x, axis={default})", family, doc, lambda x, axis, name=name: reduction.along(name, x, axis))
        for name, default, family, doc in (
            ("softmax", -1, "activations", "exp(x) over its sum."),
            ("log_softmax", -1, "activations", "The logarithm of softmax."),
        )
    ]
    running = [
        _function(
            f"{name}(x, axis=None)",
            "reductions",
            doc,
            lambda x, axis, name=name: reduction.along(name, _reshape(x, -1) if axis is None else x, -1 if axis is None else axis),
        )
        for name, doc in (("cumsum", "The running sum."), ("cumprod", "The running product."))
    ]
    return [
        *reductions,
        *axis,
        *running,
        _function("var(x, axis=None, ddof=0, keepdims=False)", "reductions", "The variance.", _var),
        _function("std(x, axis=None, ddof=0, keepdims=False)", "reductions", "The standard deviation.", _std),
        _function("average(x, axis=None, weights=None)", "reductions", "The weighted mean.", _average),
        _function("norm(x, ord=None, axis=None, keepdims=False)", "reductions", "The norm; its derivative at 0 is 0.", _norm),
        _function("clip(x, min=None, max=None)", "two arguments", "minimum(maximum(x, min), max).", _clip),
        _function("transpose(x, axes=None)", "shape", "Axes in another order.", transpose),
        _function("swapaxes(x, axis1, axis2)", "shape", "Two axes exchanged.", _swapaxes),
        _function("moveaxis(x, source, destination)", "shape", "Axes moved.", _moveaxis),
        _function("expand_dims(x, axis)", "shape", "An axis of size 1 inserted.", _expand_dims),
        _function("squeeze(x, axis=None)", "shape", "Axes of size 1 removed.", _squeeze),
        _function("ravel(x)", "shape", "All entries in one axis.", lambda x: _reshape(x, -1)),
        _function("broadcast_to(x, shape)", "shape", "x repeated to a shape.", lambda x, shape: shaping.broadcast_to(x, _dims(shape))),
        _function("concatenate(arrays, axis=0)", "shape", "Arrays joined along an axis.", _joined),
        _function("stack(arrays, axis=0)", "shape", "Arrays joined along a new axis.", _stack),
        _function("hstack(arrays)", "shape", "Arrays side by side.", _hstack),
        _function("vstack(arrays)", "shape", "Arrays one below the other.", _vstack),
        _function("split(x, indices_or_sections, axis=0)", "shape", "A tuple of parts.", _split),
        _function("tile(x, reps)", "shape", "x repeated as a whole.", _tile),
        _function("repeat(x, repeats, axis=None)", "shape", "Each entry repeated.", _repeat),
        _function("roll(x, shift, axis=None)", "shape", "Entries moved round.", _roll),
        _function("flip(x, axis=None)", "shape", "Entries in reverse.", _flip),
        _function("diag(x, k=0)", "shape", "A diagonal matrix, or a matrix's diagonal.", _diag),
        _function("diagonal(x, offset=0)", "shape", "The diagonal.", _diagonal),
        _function("tril(x, k=0)", "shape", "The lower triangle.", lambda x, k: _triangle(x, k, True)),
        _function("triu(x, k=0)", "shape", "The upper triangle.", lambda x, k: _triangle(x, k, False)),
        _function("zeros(shape)", "making", "Zeros.", _filled(0.0)),
        _function("ones(shape)", "making", "Ones.", _filled(1.0)),
        _function("full(shape, fill_value)", "making", "One value.", lambda shape, fill_value: shaping.broadcast_to(fill_value, _dims(shape))),
        _function("zeros_like(x)", "making", "Zeros of x's shape.", _like(0.0)),
        _function("ones_like(x)", "making", "Ones of x's shape.", _like(1.0)),
        _function("full_like(x, fill_value)", "making", "One value in x's shape.", lambda x, fill_value: _like(None)(x, fill_value)),
        _function("eye(N, M=None, k=0)", "making", "The identity.", lambda N, M, k: making.eye(_dims(N)[0], None if M is None else _dims(M)[0], k)),
        _function("arange(start, stop=None, step=None)", "making", "Integers in a row.", _arange),
        _function("linspace(start, stop, num=50)", "making", "Evenly spaced numbers.", _linspace),
        _function("one_hot(labels, num_classes)", "activations", "1 at the label, else 0.", _one_hot),
        _function("matmul(x, y)", "products", "x @ y.", contraction.matmul),
        _function("dot(x, y)", "products", "NumPy's dot.", _dot),
        _function("vdot(x, y)", "products", "The sum of products of all entries.", _vdot),
        _function("inner(x, y)", "products", "Sums of products over the last axes.", _inner),
        _function("outer(x, y)", "products", "All products of two vectors.", _outer),
        _function("tensordot(x, y, axes=2)", "products", "Sums of products over chosen axes.", _tensordot),
        _function("kron(x, y)", "products", "The Kronecker product.", _kron),
        _function("cross(x, y)", "products", "The vector product.", _cross),
        _function("trace(x, offset=0)", "products", "The sum of the diagonal.", _trace),
        _function("matrix_power(x, n)", "products", "x @ x @ …", _matrix_power),
        Function("einsum", (Param("*args", REQUIRED),), _einsum, "products", "Einstein summation."),
        Function("reshape", (Param("*args", REQUIRED),), _reshape, "shape", "The same entries in another shape."),
        _function("round(x)", "elementwise", "Rounded to the nearest even integer.", lambda x: ew("rint", x)),
        _function("pow(x, y)", "two arguments", "x ** y.", lambda x, y: ew("power", x, y)),
        _function("stop_gradient(x)", "order", "x, taken as a constant by every derivative.", making.stop_gradient),
    ]


@cache
def functions() -> Mapping[str, Function]:
    """Every function of the language that is not written in the language itself, by name."""
    found: dict[str, Function] = {}
    for name, op in elementwise_ops().items():
        params = tuple(Param(each, REQUIRED) for each in op.params)
        found[name] = Function(name, params, _elementwise(name), op.stanza.lines.get("family", "elementwise"), op.stanza.lines.get("doc", ""))
    found.update((each.name, each) for each in _table())
    return found


__all__ = ["functions", "transpose"]
