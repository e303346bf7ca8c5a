"""Identities of identity matrices and diagonals: what Jacobians are full of, and what should never be multiplied out.

``eye(N) * s`` is ``diag(s)``; in a contraction an identity renames an index, and a diagonal scales along one.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import TypeGuard

from dsl.nodes import Apply, Node, apply, const
from dsl.ops.contraction import einsum, plus_diagonal, split_spec
from dsl.ops.core import is_number
from dsl.ops.diagonals import DIAG
from dsl.ops.elementwise import ew
from dsl.ops.linalg_ops import INV, nonzero
from dsl.ops.making import eye
from dsl.ops.matrices import mT
from dsl.ops.reduction import reduce
from dsl.ops.shaping import broadcast_to, reshape
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
        if vector is None and other.type.shape == matrix.type.shape and not is_unit(other):
            vector = einsum("ii->i", other)
        if vector is None or (is_unit(matrix) and node.op.name == "divide"):
            return matrix if is_unit(other) and node.op.name == "multiply" and matrix.type == node.type else None
        return apply(DIAG, vector if diagonal is None else ew(node.op.name, diagonal, vector), k=0)
    return None


def added(node: Apply) -> Node | None:
    """The sum or the difference of two diagonal matrices."""
    x, y = (along(each) for each in node.args)
    if x is None or y is None or node.args[0].type != node.args[1].type or x.type.shape == y.type.shape == ():
        return None
    return apply(DIAG, ew(node.op.name, x, y), k=0)


def added_in_place(node: Node) -> Node:
    """The sum of an array and a diagonal: the diagonal is added where it stands."""
    if not (isinstance(node, Apply) and node.op.name in ("add", "subtract")):
        return node
    for i, x in enumerate(node.args):
        other, spec = node.args[1 - i], _spec(x)
        if spec is None or other.type != node.type or _spec(other) is not None:
            continue
        assert isinstance(x, Apply)
        values = x.args[0]
        if node.op.name == "subtract":
            other, values = (other, ew("negative", values)) if i else (_negated(other), values)
        labels, output = spec.split("->")
        # of several matrices each gets the diagonal
        more = [label for label in ascii_letters if label not in output][: len(other.type.known) - len(output)]
        return plus_diagonal(other, f"{labels}->{''.join(more)}{output}", values)
    return node


def _spec(node: Node) -> str | None:
    """How a diagonal lies in its array, if a node is one."""
    if not isinstance(node, Apply) or node.op.name not in ("diag", "embed"):
        return None
    return str(node.attr("spec")) if node.op.name == "embed" else "i->ii" if node.attr("k") == 0 else None


def _negated(x: Node) -> Node:
    """-x; of an outer product the smaller array takes the sign."""
    if isinstance(x, Apply) and x.op.name == "einsum" and len(x.args) == 2:
        labels, output = split_spec(str(x.attr("spec")))
        if set("".join(labels)) == set(output):
            return einsum(str(x.attr("spec")), ew("negative", x.args[0]), x.args[1])
    return ew("negative", x)


def along(node: Node) -> Node | None:
    """What stands on the diagonal of a matrix that has nothing else: a vector, or the number that it repeats."""
    if is_unit(node):
        return const(1.0)
    if isinstance(node, Apply) and node.op.name == "multiply" and is_unit(node.args[1]) and node.args[0].type.shape == ():
        return node.args[0]
    return entries(node)


def inverted(node: Apply) -> Node | None:
    """The inverse of a diagonal is a diagonal; that of a transpose is the inverse's transpose, which may be there already."""
    (A,) = node.args
    diagonal = along(A)
    if diagonal is not None:
        over = ew("divide", const(1), nonzero(diagonal))
        return ew("multiply", over, eye(A.type.known[0])) if diagonal.type.shape == () else apply(DIAG, over, k=0)
    if is_transpose(A):
        return mT(apply(node.op, A.args[0]))
    return None


def solved(node: Apply) -> Node | None:
    """To solve for a diagonal matrix is to divide by it, and for every column of an identity to invert."""
    A, b = node.args
    diagonal = along(A)
    if diagonal is not None and len(A.type.known) == 2 and len(b.type.known) <= 2:
        if is_number(diagonal, 1):
            return b
        below = nonzero(diagonal)
        return ew("divide", b, reshape(below, (*below.type.known, ONE)) if len(b.type.known) == len(below.type.known) + 1 == 2 else below)
    return apply(INV, A) if is_unit(b) else None


def is_transpose(node: Node) -> TypeGuard[Apply]:
    """Whether a node is a matrix with its two axes exchanged."""
    if not (isinstance(node, Apply) and node.op.name == "einsum" and len(node.args) == 1):
        return False
    (labels,), output = split_spec(str(node.attr("spec")))
    return labels[::-1] == output and len(set(output)) == 2


def traced(node: Apply, labels: str, output: str) -> Node | None:
    """The diagonal of a matrix, or its sum, term by term: of a diagonal matrix it is there already, and of a product it needs no other entry."""
    (x,) = node.args
    if len(labels) != 2 or labels[0] != labels[1] or not isinstance(x, Apply):
        return None
    diagonal = along(x)
    if diagonal is not None:
        whole = broadcast_to(diagonal, x.type.known[:1])
        return whole if output else reduce("sum", whole)
    if x.op.name in ("add", "subtract") and all(arg.type == x.type for arg in x.args) and any(map(_has_parts, x.args)):
        return ew(x.op.name, *(einsum(str(node.attr("spec")), arg) for arg in x.args))
    if x.op.name in ("multiply", "divide") and (scalar := next((i for i in (0, 1) if x.args[i].type.shape == ()), None)) is not None:
        if scalar == 0 and x.op.name == "divide":
            return None
        parts = [einsum(str(node.attr("spec")), arg) if i != scalar else arg for i, arg in enumerate(x.args)]
        return ew(x.op.name, *parts)
    if x.op.name == "negative":
        return ew("negative", einsum(str(node.attr("spec")), x.args[0]))
    return None


def _has_parts(node: Node) -> bool:
    """Whether the diagonal of a node is cheaper than the node."""
    while isinstance(node, Apply) and node.op.name in ("multiply", "divide", "negative"):
        node = node.args[0] if len(node.args) == 1 or node.args[1].type.shape == () else node.args[1]
    return isinstance(node, Apply) and (node.op.name in ("diag", "eye", "add", "subtract") or (node.op.name == "einsum" and len(node.args) > 1))


def summed(node: Apply) -> Node | None:
    """The sum of a diagonal matrix along one of its axes is its diagonal, that along both the sum of that."""
    diagonal = entries(node.args[0])
    if diagonal is None or node.op.name != "sum":
        return None
    if node.type.shape == ():
        return reduce("sum", diagonal)
    return reshape(diagonal, node.type.known) if node.attr("axes") in ((-1,), (-2,)) else None


def contracted(node: Apply) -> Node | None:
    """An identity in a contraction renames an index; a diagonal becomes its vector along one."""
    labels, output = split_spec(str(node.attr("spec")))
    if len(node.args) == 1:
        return node.args[0] if is_transpose(node) and along(node.args[0]) is not None else traced(node, labels[0], output)
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
