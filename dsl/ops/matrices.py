"""What rules on matrices are written in. A matrix is the last two axes, whatever stands before them; so is every rule below."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

from dsl.diagnostics import Code, counted
from dsl.nodes import Apply, Const, Node
from dsl.ops.broadcasting import reshape
from dsl.ops.contraction import einsum, matmul
from dsl.ops.core import add, mul, number, shape_of
from dsl.ops.diagonals import tril
from dsl.ops.elementwise import cast
from dsl.ops.reduction import reduce
from dsl.types import ONE, Shape, ShapeError, TensorType, broadcast, same


def as_matrix(x: Node, name: str, position: int = 0) -> Node:
    """An argument that must be a matrix of floats, or a stack of them. Raises ShapeError for fewer than two axes."""
    if len(shape_of(x, 2)) < 2:
        raise ShapeError(Code.E0302, f"`{name}` needs a matrix, and this has {counted(len(shape_of(x)), 'axis', 'axes')}", f"{{{position}}} is {x.type}")
    return cast(x, "float")


def as_square(x: Node, name: str) -> Node:
    """An argument that must be a square matrix of floats. Raises ShapeError."""
    x = as_matrix(x, name)
    rows, columns = shape_of(x)[-2:]
    if not same(rows, columns):
        message = f"`{name}` needs a square matrix: {rows} rows and {columns} columns"
        raise ShapeError(Code.E0305, message, f"{{0}} is {x.type}", "give it a square one, such as `{0}.T @ {0}`")
    return x


def as_symmetric(x: Node, name: str) -> Node:
    """An argument that is taken as symmetric. Raises ShapeError for a matrix written out in numbers that is not."""
    x = as_square(x, name)
    rows = _numbers(x)
    if rows is not None and any(row[j] != rows[j][i] for i, row in enumerate(rows) for j in range(i)):
        raise ShapeError(Code.E0305, f"`{name}` needs a symmetric matrix", "{0} differs from its transpose")
    return x


def _numbers(x: Node) -> list[list[float]] | None:
    """The entries of a matrix that is written out in numbers, else None."""
    if not isinstance(x, Apply) or x.op.name not in ("stack", "cast"):
        return None
    if x.op.name == "cast":
        return _numbers(x.args[0])
    rows = [row.args if isinstance(row, Apply) and row.op.name == "stack" else () for row in x.args]
    if not all(row and all(isinstance(entry, Const) for entry in row) for row in rows):
        return None
    return [[float(entry.value) for entry in row if isinstance(entry, Const)] for row in rows]


def mT(x: Node) -> Node:
    """The transpose, named as NumPy names it."""
    labels = ascii_lowercase[: len(shape_of(x))]
    return einsum(f"{labels}->{labels[:-2]}{labels[-1]}{labels[-2]}", x)


def mm(*matrices: Node) -> Node:
    """The product of matrices, from the left."""
    first, *rest = matrices
    for each in rest:
        first = matmul(first, each)
    return first


def column(v: Node) -> Node:
    """v as a column: [..., n] to [..., n, 1]."""
    return reshape(v, (*shape_of(v), ONE))


def row(v: Node) -> Node:
    """v as a row: [..., n] to [..., 1, n]."""
    shape = shape_of(v)
    return reshape(v, (*shape[:-1], ONE, shape[-1]))


def per_matrix(v: Node) -> Node:
    """A number for each matrix, to be multiplied by it: [...] to [..., 1, 1]."""
    shape = shape_of(v)
    return reshape(v, (*shape, ONE, ONE)) if shape else v


def flat(x: Node) -> Node:
    """A column as a vector: [..., n, 1] to [..., n]."""
    return reshape(x, shape_of(x)[:-1])


def outer(u: Node, v: Node) -> Node:
    """The outer product of the last axes: [..., m] and [..., n] to [..., m, n]."""
    if len(shape_of(u)) == len(shape_of(v)) == 1:
        return einsum("i,j->ij", u, v)
    return mul(column(u), row(v))


def symmetrised(x: Node) -> Node:
    """(x + xᵀ) / 2."""
    return mul(number(0.5), add(x, mT(x)))


def dot_all(x: Node, y: Node) -> Node:
    """The sum of x * y over each matrix, kept as [..., 1, 1]."""
    return reduce("sum", mul(x, y), (-2, -1), keepdims=True)


def fitted(cotangent: Node, arg: Node, node: Node, g: Node) -> Node:
    """A cotangent summed over the leading axes along which ``arg`` was broadcast in ``node``; axes that g has before node's stay."""
    extra = len(shape_of(g)) - len(shape_of(node))
    have, want = shape_of(cotangent), shape_of(arg)
    gone = len(have) - extra - len(want)
    axes = [i for i in range(extra, extra + gone)]
    axes += [extra + gone + i for i, dim in enumerate(want) if dim == ONE and have[extra + gone + i] != ONE]
    if not axes:
        return cotangent
    return reshape(reduce("sum", cotangent, tuple(axes)), (*have[:extra], *want))


def lead(types: Sequence[TensorType], ranks: Sequence[int]) -> Shape:
    """The leading axes of several stacks of cores with these ranks, broadcast. Raises ShapeError."""
    parts = [TensorType("float", each.known[: len(each.known) - rank]) for each, rank in zip(types, ranks, strict=True)]
    found = broadcast(tuple(parts))
    assert found is not None
    return found


def mirrored(x: Node) -> Node:
    """The symmetric matrix that has x's lower triangle."""
    return add(tril(x), mT(tril(x, -1)))
