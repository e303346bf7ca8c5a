"""Products in NumPy's other spellings, each a contraction; diagonals and traces, which are contractions too."""

from __future__ import annotations

from string import ascii_lowercase as LETTERS

from dsl.diagnostics import Code
from dsl.nodes import Node, apply
from dsl.ops.broadcasting import broadcast_to, flat, reshape, total
from dsl.ops.contraction import contract, einsum, matmul, permute
from dsl.ops.core import axis_of, mul, shape_of, sub
from dsl.ops.diagonals import DIAG, DIAGONAL
from dsl.ops.elementwise import cast
from dsl.ops.indexing import pick
from dsl.ops.linalg_ops import inv
from dsl.ops.making import eye
from dsl.ops.shaping import stack
from dsl.ops.spec import function
from dsl.types import ONE, Dim, ShapeError, same

# products ------------------------------------------------------------------------------------------------------------


def dot(a: Node, b: Node) -> Node:
    """NumPy's dot: over the last axis of a and the last but one of b."""
    left, right = len(shape_of(a, 2)), len(shape_of(b, 2))
    if not left or not right:
        return mul(a, b)
    if right <= 2:
        return matmul(a, b)
    one, two = LETTERS[: left - 1], LETTERS[left : left + right - 2]
    return contract([f"{one}z", f"{two}zy"], f"{one}{two}y", [a, b])


def inner(a: Node, b: Node) -> Node:
    """Over the last axis of both."""
    left, right = len(shape_of(a, 1)), len(shape_of(b, 1))
    if not left or not right:
        return mul(a, b)
    one, two = LETTERS[: left - 1], LETTERS[left : left + right - 1]
    return contract([f"{one}z", f"{two}z"], one + two, [a, b])


def outer(a: Node, b: Node) -> Node:
    return einsum("i,j->ij", flat(a), flat(b))


def vdot(a: Node, b: Node) -> Node:
    return einsum("i,i->", flat(a), flat(b))


def tensordot(a: Node, b: Node, axes: object) -> Node:
    """Over the last ``axes`` axes of a and the first of b, or over the axes of a and those of b that a pair of tuples names."""
    left, right = len(shape_of(a)), len(shape_of(b))
    if isinstance(axes, int) and 0 <= axes <= min(left, right):
        one, two = list(range(left - axes, left)), list(range(axes))
    elif isinstance(axes, tuple) and len(axes) == 2:
        one = [axis_of(i, left) + left for i in (axes[0] if isinstance(axes[0], tuple) else (axes[0],))]
        two = [axis_of(i, right) + right for i in (axes[1] if isinstance(axes[1], tuple) else (axes[1],))]
    else:
        raise ShapeError(Code.E0204, "`axes` is a number of axes, or a pair of tuples of axes", "{0}")
    if len(one) != len(two):
        raise ShapeError(Code.E0204, f"{len(one)} axes of the first array are paired with {len(two)} of the second")
    first, second = list(LETTERS[:left]), list(LETTERS[left : left + right])
    for i, j in zip(one, two, strict=True):
        second[j] = first[i]
    out = [label for i, label in enumerate(first) if i not in one] + [label for j, label in enumerate(second) if j not in two]
    return einsum(f"{''.join(first)},{''.join(second)}->{''.join(out)}", a, b)


def kron(a: Node, b: Node) -> Node:
    """The Kronecker product: every entry of a times the whole of b. The one with fewer axes gets axes of size 1 in front."""
    rank = max(len(shape_of(a)), len(shape_of(b)))
    one, two = ((ONE,) * (rank - len(shape_of(each))) + shape_of(each) for each in (a, b))
    first, second = LETTERS[:rank], LETTERS[rank : 2 * rank]
    both = einsum(f"{first},{second}->{''.join(map(''.join, zip(first, second, strict=True)))}", reshape(a, one), reshape(b, two))
    return reshape(both, tuple(m * n for m, n in zip(one, two, strict=True)))


def cross(a: Node, b: Node, axis: int) -> Node:
    """The vector product of three-vectors along an axis."""
    for each in (a, b):
        if shape_of(each, 1)[axis_of(axis, len(shape_of(each)))] != Dim.number(3):
            raise ShapeError(Code.E0305, "`cross` takes vectors of three entries", f"{{0}} is {a.type}, {{1}} is {b.type}")
    at, bt = (axis_of(axis, len(shape_of(each))) for each in (a, b))
    u, v = [pick(a, at, i) for i in range(3)], [pick(b, bt, i) for i in range(3)]
    parts = [sub(mul(u[i - 2], v[i - 1]), mul(u[i - 1], v[i - 2])) for i in range(3)]
    return stack(parts, axis_of(axis, max(len(shape_of(a)), len(shape_of(b)))))


def matrix_power(a: Node, n: int) -> Node:
    """By repeated squaring; of the inverse for a negative exponent."""
    shape = shape_of(a, 2)
    if len(shape) < 2 or not same(shape[-1], shape[-2]):
        raise ShapeError(Code.E0305, "only a square matrix has powers", f"{{0}} is {a.type}", "give it a square one, such as `{0}.T @ {0}`")
    if n < 0:
        a, n = inv(cast(a, "float")), -n
    result: Node | None = None
    while n:
        if n & 1:
            result = a if result is None else matmul(result, a)
        n >>= 1
        a = matmul(a, a) if n else a
    return broadcast_to(eye(shape[-1]), shape) if result is None else result


# diagonals -----------------------------------------------------------------------------------------------------------


def diag(v: Node, k: int = 0) -> Node:
    rank = len(shape_of(v))
    if rank not in (1, 2):
        raise ShapeError(Code.E0302, "`diag` takes a vector or a matrix", f"{{0}} is {v.type}", "write `diagonal(x, axis1=-2, axis2=-1)`")
    return apply(DIAG, v, k=k) if rank == 1 else diagonal(v, k, 0, 1)


def diagonal(a: Node, offset: int, axis1: int, axis2: int) -> Node:
    """The main diagonal of a square is a contraction, which the optimiser knows; any other is an operation of its own."""
    rank = len(shape_of(a, 2))
    one, two = _pair(axis1, axis2, rank)
    rest = [i for i in range(rank) if i not in (one, two)]
    if offset == 0 and shape_of(a)[one] == shape_of(a)[two]:
        return einsum(f"{_twice(one, two, rank)}->{''.join(LETTERS[i] for i in rest)}z", a)
    return apply(DIAGONAL, permute(a, [*rest, one, two]), k=offset)


def trace(a: Node, offset: int, axis1: int, axis2: int) -> Node:
    rank = len(shape_of(a, 2))
    one, two = _pair(axis1, axis2, rank)
    if offset == 0 and shape_of(a)[one] == shape_of(a)[two]:
        labels = _twice(one, two, rank)
        return einsum(f"{labels}->{labels.replace('z', '')}", a)
    return total(diagonal(a, offset, axis1, axis2), -1)


def _twice(one: int, two: int, rank: int) -> str:
    """Labels in which two axes share one."""
    return "".join("z" if i in (one, two) else LETTERS[i] for i in range(rank))


def _pair(axis1: int, axis2: int, rank: int) -> tuple[int, int]:
    if rank < 2:
        raise ShapeError(Code.E0302, "a diagonal needs two axes", "{0}")
    one, two = axis_of(axis1, rank) + rank, axis_of(axis2, rank) + rank
    if one == two:
        raise ShapeError(Code.E0303, "a diagonal needs two different axes", "{0}")
    return one, two


FUNCTIONS = (
    function(
        "dot(a, b)",
        "products",
        "Over the last axis of a and the last but one of b; with a scalar, the plain product.",
        dot,
        derivative="g contracted with the other operand",
        cases=(
            "dot(x, y) | x: [3, 4]; y: [4, 2]",
            "x.dot(y) | x: [4]; y: [4]",
            "dot(x, y) | x: [3, 4]; y: [4]",
            "dot(x, y) | x: [3, 4]; y: [2, 4, 5]",
            "dot(x, y) | x: [2, 3, 4]; y: [5, 4, 3]",
            "dot(x, y) | x: []; y: [4]",
        ),
    ),
    function(
        "vdot(a, b, /)",
        "products",
        "The sum of products of all entries, both laid out flat.",
        vdot,
        derivative="g times the other operand",
        cases=("vdot(x, y)", "vdot(x, y) | x: [2, 6]; y: [3, 4]", "vdot(x, y) | x: [4]; y: [4]"),
    ),
    function(
        "inner(a, b, /)",
        "products",
        "Sums of products over the last axis of both.",
        inner,
        derivative="g contracted with the other operand",
        cases=("inner(x, y) | x: [4]; y: [4]", "inner(x, y) | x: [3, 4]; y: [2, 4]", "inner(x, y) | x: [3, 4]; y: [4]", "inner(x, y) | x: [3, 4]; y: []"),
    ),
    function(
        "outer(a, b)",
        "products",
        "All products of two vectors; arrays are laid out flat.",
        outer,
        derivative="g @ b and a @ g",
        cases=("outer(x, y) | x: [3]; y: [4]", "outer(x, y) | x: [2, 2]; y: [3]"),
    ),
    function(
        "tensordot(a, b, axes: static = 2)",
        "products",
        "Sums of products over the last axes of a and the first of b, or over the axes that two tuples pair.",
        tensordot,
        derivative="g contracted with the other operand",
        cases=(
            "tensordot(x, y) | x: [2, 3, 4]; y: [3, 4, 5]",
            "tensordot(x, y, 1) | x: [2, 3]; y: [3, 4]",
            "tensordot(x, y, axes=0) | x: [2]; y: [3]",
            "tensordot(x, y, axes=([0, 1], [1, 0])) | x: [2, 3, 4]; y: [3, 2, 5]",
            "tensordot(x, y, axes=(-1, 0)) | x: [2, 3]; y: [3, 4]",
        ),
    ),
    function(
        "kron(a, b)",
        "products",
        "The Kronecker product: every entry of a times the whole of b.",
        kron,
        derivative="g contracted with the other operand",
        cases=("kron(x, y) | x: [2, 3]; y: [2, 2]", "kron(x, y) | x: [2]; y: [3]", "kron(x, y) | x: [2]; y: [3, 2]"),
    ),
    function(
        "cross(a, b, axis: axis = -1)",
        "products",
        "The vector product of three-vectors along an axis.",
        cross,
        derivative="b x g and g x a",
        cases=(
            "cross(x, y) | x: [3]; y: [3]",
            "cross(x, y) | x: [4, 3]; y: [4, 3]",
            "cross(x, y) | x: [4, 3]; y: [3]",
            "cross(x, y, axis=0) | x: [3, 4]; y: [3, 4]",
        ),
    ),
    function(
        "matrix_power(a, n: int)",
        "products",
        "a @ a @ …, n times, by repeated squaring; the identity for 0, powers of the inverse below.",
        matrix_power,
        derivative="that of the products",
        cases=(
            *("matrix_power(x, 3) | x: [3, 3]", "matrix_power(x, 1) | x: [3, 3]", "x @ matrix_power(x, 0) | x: [3, 3]"),
            *("matrix_power(x, 5) | x: [2, 3, 3]", "matrix_power(A, -2) | A: [3, 3] nonsingular"),
        ),
    ),
    function(
        "diag(v, k: int = 0)",
        "shape",
        "A matrix with v on diagonal k; of a matrix, that diagonal.",
        diag,
        derivative="the diagonal of g; of a matrix, g on the diagonal",
        cases=(
            "diag(x) | x: [3]",
            "diag(x, 1) | x: [3]",
            "diag(x, k=-2) | x: [3]",
            "diag(x) | x: [3, 3]",
            "diag(x, 1)",
            "diag(x, -1)",
            "diag(x)",
            "diag(x, 2) | x: [N, N]",
        ),
    ),
    function(
        "diagonal(a, offset: int = 0, axis1: int = 0, axis2: int = 1)",
        "shape",
        "The diagonal of two axes, on a new last axis.",
        diagonal,
        derivative="g on that diagonal of zeros",
        cases=(
            "diagonal(x) | x: [3, 3]",
            "diagonal(x, 1)",
            "diagonal(x) | x: [3, 3, 4]",
            "diagonal(x, -1, axis1=-2, axis2=-1) | x: [2, 3, 4]",
            "x.diagonal(0, 0, 2) | x: [3, 2, 3]",
            "diagonal(x) | x: [N, D]",
        ),
    ),
    function(
        "trace(a, offset: int = 0, axis1: int = 0, axis2: int = 1)",
        "products",
        "The sum of a diagonal.",
        trace,
        derivative="g on that diagonal of zeros",
        cases=("trace(x) | x: [3, 3]", "trace(x, offset=1)", "trace(x) | x: [3, 3, 4]", "x.trace(axis1=1, axis2=2) | x: [2, 3, 3]", "trace(x)"),
    ),
)
