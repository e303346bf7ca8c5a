"""Convolution and pooling, as PyTorch has them: x is [N, C, …], or has any other number of axes before C, none included.

A convolution is ``windows`` of x, [N, C, *size, *positions], contracted with w, [O, C, *size]: in NumPy one matrix product of w with a
copy of the strided windows. The gradient of w is a product of the same copy with g; that of x adds up overlapping windows of w's with g.
"""

from __future__ import annotations

from string import ascii_lowercase

from dsl.diagnostics import Code
from dsl.nodes import Node
from dsl.ops.broadcasting import reshape
from dsl.ops.contraction import einsum
from dsl.ops.core import add, shape_of
from dsl.ops.elementwise import cast
from dsl.ops.reduction import reduce
from dsl.ops.signal_ops import Pairs, Window, convolve, windows
from dsl.ops.spec import Function, function
from dsl.types import ONE, ZERO, Dim, Shape, ShapeError, as_dim, product, require, same


def _steps(value: object, n: int, what: str, least: int = 1) -> tuple[int, ...]:
    """An integer for each of n axes, from one or a tuple. Raises ShapeError."""
    given = value if isinstance(value, tuple) else (value,) * n
    steps = tuple(each for each in given if isinstance(each, int) and not isinstance(each, bool) and each >= least)
    if not len(steps) == len(given) == n:
        raise ShapeError(Code.E0204, f"`{what}` must be {'a positive integer' if least else 'an integer, not negative'}, or a tuple of {n}, not {value!r}")
    return steps


def _padding(value: object, size: Shape, stride: tuple[int, ...], dilation: tuple[int, ...]) -> Pairs:
    """Zeros before and after each axis. 'same' keeps the axis's size and puts an odd one at the end, as PyTorch does."""
    if value == "valid":
        return ((ZERO, ZERO),) * len(size)
    if value == "same":
        if any(each != 1 for each in stride):
            raise ShapeError(Code.E0204, "`padding='same'` needs a stride of 1", help="give the padding as an integer")
        spans = [(each - 1) * step for each, step in zip(size, dilation, strict=True)]
        return tuple((span // 2, span - span // 2) for span in spans)
    if isinstance(value, str):
        raise ShapeError(Code.E0204, f"`padding` may be 'same', 'valid', an integer or a tuple of them, not {value!r}")
    given = value if isinstance(value, tuple) else (value,) * len(size)
    sizes = tuple(as_dim(each) for each in given if isinstance(each, (int, Dim)) and not isinstance(each, bool))
    if not len(sizes) == len(given) == len(size) or any((each.constant or 0) < 0 for each in sizes):
        raise ShapeError(Code.E0204, f"`padding` must be an integer or a dimension, not negative, or a tuple of {len(size)}, not {value!r}")
    for each in sizes:
        if not each.certain:
            require(each, ">=", ZERO, "the padding must not be negative")
    return tuple((each, each) for each in sizes)


def _groups(x: Node, w: Node, groups: object, name: str, n: int) -> Dim:
    """Into how many groups the channels fall. Raises ShapeError where w's channels do not fit x's."""
    if len(shape_of(w, n + 2)) != n + 2 or len(shape_of(x, n + 2)) < n + 1:
        raise ShapeError(Code.E0302, f"`{name}` takes x with {n + 2} axes and w with {n + 2}", f"{{0}} is {x.type}, {{1}} is {w.type}")
    many = as_dim(groups) if isinstance(groups, (int, Dim)) and not isinstance(groups, bool) else ZERO
    if many.constant is not None and many.constant < 1:
        raise ShapeError(Code.E0204, f"`groups` must be a positive integer or a dimension, not {groups!r}")
    channels, out, mine = shape_of(x)[-n - 1], shape_of(w)[0], shape_of(w)[1]
    if not same(channels, mine * many):
        wanted = f"{mine} channels" if many == ONE else f"{many} groups of {mine} channels"
        help = f"the second axis of w is x's channels over `groups`: {channels if many == ONE else f'{channels} // {many}'}"
        raise ShapeError(Code.E0304, f"w is for {wanted}, and x has {channels}", f"{{0}} is {x.type}, {{1}} is {w.type}", help)
    if out.divided(many) is None:
        if out.constant is not None and many.constant is not None:
            raise ShapeError(Code.E0305, f"{out} output channels do not split into {many} groups", f"{{1}} is {w.type}")
        require(many, "divides", out, "the groups must share the output channels")
    return many


def _conv(n: int, x: Node, w: Node, b: Node | None, stride: object, padding: object, dilation: object, groups: object) -> Node:
    """The cross-correlation of x with w over the last n axes."""
    many = _groups(x, w, groups, f"conv{n}d", n)
    x, w = cast(x, "float"), cast(w, "float")
    size, steps, within = shape_of(w)[2:], _steps(stride, n, "stride"), _steps(dilation, n, "dilation")
    wide = windows(x, Window(size, steps, within, _padding(padding, size, steps, within)))
    lead, positions, out = shape_of(x)[: -n - 1], shape_of(wide)[-n:], shape_of(w)[0]
    # the copy of the windows is a value of its own, which both products read
    split = () if many == ONE else (many,)
    columns = reshape(wide, (*lead, *split, product(shape_of(w)[1:]), product(positions)))
    filters = reshape(w, (*split, out // many, product(shape_of(w)[1:])))
    batch, group = ascii_lowercase[: len(lead)], "g"[: len(split)]
    y = reshape(einsum(f"{group}ok,{batch}{group}kp->{batch}{group}op", filters, columns), (*lead, out, *positions))
    if b is None:
        return y
    if len(shape_of(b, 1)) != 1 or not same(shape_of(b)[0], out):
        raise ShapeError(Code.E0304, f"the bias must be a vector of {out}", f"{{2}} is {b.type}", f"declare it `[{out}]`")
    return add(y, reshape(b, (*shape_of(b), *[ONE] * n)))


def _pool(n: int, how: str, x: Node, size: object, stride: object, padding: object) -> Node:
    """The largest or the mean of each window over the last n axes."""
    name = f"{'max' if how == 'max' else 'avg'}_pool{n}d"
    if len(shape_of(x, n + 2)) < n:
        raise ShapeError(Code.E0302, f"`{name}` takes x with {n + 2} axes", f"{{0}} is {x.type}")
    sizes = _steps(size, n, "size")
    steps = sizes if stride is None else _steps(stride, n, "stride")
    pads = _steps(padding, n, "padding", 0)
    if any(2 * pad > each for pad, each in zip(pads, sizes, strict=True)):
        raise ShapeError(Code.E0204, f"the padding of `{name}` may be at most half the size, and is {padding!r} for {size!r}")
    shape = tuple(as_dim(each) for each in sizes)
    window = Window(shape, steps, (1,) * n, tuple((as_dim(pad), as_dim(pad)) for pad in pads))
    wide = windows(cast(x, "float"), window, lowest=how == "max" and any(pads))
    # NumPy reduces a strided view of two short axes twenty times more slowly than one axis of a copy
    shape = shape_of(wide)
    return reduce(how, reshape(wide, (*shape[: -2 * n], product(shape[-2 * n : -n]), *shape[-n:])), -n - 1)


def _convolve(a: Node, v: Node, mode: str) -> Node:
    if mode not in ("full", "same", "valid"):
        raise ShapeError(Code.E0204, f"`mode` may be 'full', 'same' or 'valid', not {mode!r}")
    if len(shape_of(a, 1)) != 1 or len(shape_of(v, 1)) != 1:
        raise ShapeError(Code.E0302, "`convolve` takes two vectors", f"{{0}} is {a.type}, {{1}} is {v.type}")
    gap = (shape_of(a)[0] - shape_of(v)[0]).constant
    if gap is not None and gap < 0:
        a, v = v, a
    elif gap is None and mode != "full":
        require(shape_of(a)[0], ">=", shape_of(v)[0], "the first operand must be the longer one")
    for each in (a, v):
        if shape_of(each)[0].constant == 0:
            raise ShapeError(Code.E0305, "`convolve` needs vectors that are not empty", f"{{0}} is {a.type}, {{1}} is {v.type}")
    return convolve(cast(a, "float"), cast(v, "float"), mode)


FAMILY = "signal"


def _conv_function(n: int) -> Function:
    axes = ("[8]", "[3]") if n == 1 else ("5, 6]", "3, 2]")
    x, w = (f"x: [2, 4, {axes[0].strip('[')}", f"w: [6, 4, {axes[1].strip('[')}")
    name = f"conv{n}d"
    return function(
        f"{name}(x, w, b=None, stride: static = 1, padding: static = 0, dilation: static = 1, groups: static = 1)",
        FAMILY,
        f"The cross-correlation over the last {'axis' if n == 1 else 'two axes'}, as PyTorch's: x [N, C, …], w [O, C // groups, …], b [O]. "
        "padding is an int, a tuple, 'same' or 'valid'; it and groups may be dimensions.",
        lambda *args: _conv(n, *args),
        derivative="the same windows contracted with g for w; windows of w with g, added up where they overlap, for x",
        cases=(
            f"{name}(x, w) | {x}; {w}",
            f"{name}(x, w, b, padding='same') | {x}; {w}; b: [6]",
            f"{name}(x, w, stride=2, padding=1) | {x}; {w}",
            f"{name}(x, w, dilation=2, padding=2, groups=2) | {x}; {w.replace('4', '2', 1)}",
        ),
    )


def _pool_function(how: str, n: int) -> Function:
    name = f"{'max' if how == 'max' else 'avg'}_pool{n}d"
    axes = "x: [2, 3, 7]" if n == 1 else "x: [2, 3, 4, 5]"
    doc = "The largest entry" if how == "max" else "The mean"
    ties = "g to the largest entry; ties share equally" if how == "max" else "g over the window's size, added up where windows overlap"
    return function(
        f"{name}(x, size: static, stride: static = None, padding: static = 0)",
        FAMILY,
        f"{doc} of each window over the last {'axis' if n == 1 else 'two axes'}, as PyTorch's; the stride is the size unless given"
        + ("." if how == "max" else "; the padding counts."),
        lambda *args: _pool(n, how, *args),
        derivative=ties,
        cases=(f"{name}(x, 2) | {axes}", f"{name}(x, 3, stride=1, padding=1) | {axes}"),
    )


FUNCTIONS = (
    function(
        "convolve(a, v, mode: text = 'full')",
        FAMILY,
        "The convolution of two vectors, NumPy's. For 'same' and 'valid' vectors of symbolic sizes, the first is taken as the longer.",
        _convolve,
        derivative="correlations of g with the other vector",
        cases=(
            *(f"convolve(a, v, mode='{mode}') | a: [6]; v: [3]" for mode in ("full", "same", "valid")),
            "convolve(a, v, 'same') | a: [5]; v: [4]",
            "convolve(a, v, 'same') | a: [2]; v: [4]",
        ),
    ),
    *(_conv_function(n) for n in (1, 2)),
    *(_pool_function(how, n) for how in ("max", "mean") for n in (1, 2)),
)
