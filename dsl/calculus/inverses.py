"""Where an inverse is needed anyway, what is solved for its matrix is a product with it.

For a matrix that is known to be symmetric, and for the transpose of any other, ``inv(A).T @ b`` is as accurate as solving: the residual of inv(A) is
small on the side that counts, A @ inv(A) is nearly 1 (Druinsky & Toledo, *How accurate is inv(A) * b?*, 2012). ``inv(A) @ b`` is not, and is not
made. The inverse of a triangle is right on both sides, its columns being solved for by substitution (Higham, *Accuracy and stability of numerical
algorithms*, 2002, chapter 14).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from dsl.nodes import Apply, Node, topological
from dsl.ops.cholesky import INV_UPPER, inv_upper
from dsl.ops.contraction import split_spec
from dsl.ops.linalg_ops import INV, SOLVE, SOLVE_TRIANGULAR, inv, is_symmetric
from dsl.ops.matrices import mm, mT


def inverses_in(order: Iterable[Node]) -> set[Node]:
    """The inverses that a graph makes."""
    return {node for node in order if isinstance(node, Apply) and node.op in (INV, INV_UPPER)}


def inverse_for(node: Node) -> Node | None:
    """The inverse that a solution could be a product with."""
    if not isinstance(node, Apply) or node.op not in (SOLVE, SOLVE_TRIANGULAR) or len(node.args[1].type.known) > 2:
        return None
    A = node.args[0]
    if node.op is SOLVE:
        turned = transposed(A)
        return inv(A) if is_symmetric(node) else None if turned is None else inv(turned)
    if node.attr("unit_diagonal"):
        return None
    return inv_upper(mT(A) if node.attr("lower") else A)


def by_inverse(node: Node, args: Sequence[Node]) -> Node:
    """A solution upon new arguments as the product with its inverse."""
    assert isinstance(node, Apply)
    A, b = args
    if node.op is SOLVE:
        turned = None if is_symmetric(node) else transposed(A)
        return mm(mT(inv(turned or A)), b)
    return mm(mT(inv_upper(mT(A))), b) if node.attr("lower") else mm(inv_upper(A), b)


def served(roots: Sequence[Node], made: Iterable[Node], forward: Container[Node]) -> set[Node]:
    """Of the inverses that backward makes, ``made``, those that the ``roots`` of forward can solve by."""
    wanted = {inverse for node in topological(roots) if (inverse := inverse_for(node)) is not None}
    return {node for node in inverses_in(made) if node in wanted and all(arg in forward or transposed(arg) in forward for arg in node.args)}


def transposed(node: Node | None) -> Node | None:
    """What a matrix is the transpose of."""
    if not (isinstance(node, Apply) and node.op.name == "einsum" and len(node.args) == 1):
        return None
    (labels,), output = split_spec(str(node.attr("spec")))
    return node.args[0] if len(labels) == 2 and labels[::-1] == output and labels != output else None


__all__ = ["by_inverse", "inverse_for", "inverses_in", "served", "transposed"]
