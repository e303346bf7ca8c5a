"""Identities of identity matrices and diagonals: what Jacobians are full of, and what should never be multiplied out.

``eye(N) * s`` is ``diag(s)``; in a contraction an identity renames an index, and a diagonal scales along one.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsl.nodes import Apply, Node, apply
from dsl.ops.contraction import einsum, split_spec
from dsl.ops.diagonals import DIAG
from dsl.ops.elementwise import ew
from dsl.ops.shaping import reshape
from dsl.types import ONE


def is_unit(node: Node) -> bool:
    """Whether a node is an identity matrix of floats."""
    square = isinstance(node, Apply) and node.op.name == "eye" and node.attr("rows") == node.attr("columns")
    return square and isinstance(node, Apply) and node.attr("k") == 0 and node.type.dtype == "float"


def entries(node: Node) -> Node | None:
    """The vector on the diagonal of a matrix that has nothing else."""
    return node.args[0] if isinstance(node, Apply) and node.op is DIAG and node.attr("k") == 0 else None


def _vector(node: Node, like: Node) -> Node | None:
    """What an array that broadcasts against a square matrix holds along its diagonal, where that is all of it: a row or a column."""
    size = like.type.known[-1]
    if node.type.shape == (size,):
        return node
    if node.type.shape in ((size, ONE), (ONE, size)):
        return reshape(node, (size,))
    return None


def scaled(node: Apply) -> Node | None:
    """A product or a quotient of a diagonal matrix and a vector is a diagonal matrix."""
    for matrix, other in ((node.args[0], node.args[1]), (node.args[1], node.args[0])):
        if node.op.name == "divide" and matrix is node.args[1]:
            break
        diagonal = entries(matrix)
        if diagonal is None and not is_unit(matrix):
            continue
        both = entries(other)
        vector = both if both is not None else _vector(other, matrix) if other.type.shape is not None else None
        if vector is None or (is_unit(matrix) and node.op.name == "divide"):
            return matrix if is_unit(other) and node.op.name == "multiply" and matrix.type == node.type else None
        return apply(DIAG, vector if diagonal is None else ew(node.op.name, diagonal, vector), k=0)
    return None


def added(node: Apply) -> Node | None:
    """The sum or the difference of two diagonal matrices."""
    x, y = (entries(each) for each in node.args)
    return None if x is None or y is None or x.type != y.type else apply(DIAG, ew(node.op.name, x, y), k=0)


def summed(node: Apply) -> Node | None:
    """The sum of a diagonal matrix along one of its axes is its diagonal."""
    diagonal = entries(node.args[0])
    if diagonal is None or node.op.name != "sum" or node.attr("axes") not in ((-1,), (-2,)):
        return None
    return reshape(diagonal, node.type.known)


def contracted(node: Apply) -> Node | None:
    """An identity in a contraction renames an index; a diagonal becomes its vector along one."""
    labels, output = split_spec(str(node.attr("spec")))
    for i, arg in enumerate(node.args):
        vector, term = entries(arg), labels[i]
        if (vector is None and not is_unit(arg)) or len(set(term)) < 2 or len(node.args) < 2:
            continue
        keep, gone = (term[0], term[1]) if term[1] not in output else (term[1], term[0])
        rest = labels[:i] + labels[i + 1 :]
        if gone in output or (not any(gone in other or keep in other for other in rest) and vector is None):
            continue
        terms = [other.replace(gone, keep) for other in rest]
        if vector is None and keep in output and not any(keep in other for other in terms):
            continue
        args: Sequence[Node] = (*node.args[:i], *node.args[i + 1 :])
        if vector is not None:
            terms, args = [keep, *terms], (vector, *args)
        return einsum(f"{','.join(terms)}->{output}", *args)
    return None
