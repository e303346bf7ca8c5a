"""Linear algebra with one result: inverse, determinant, solve, pseudo-inverse. Reverse rules after Giles, *Collected matrix
derivative results for forward and reverse mode algorithmic differentiation* (2008), each built of operations registered here.

Below, for ``out`` with cotangent g, ``A̅`` is A's. All are batched over the axes before the last two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply
from dsl.ops.broadcasting import reshape
from dsl.ops.core import add, mul, neg, shape_of, sub
from dsl.ops.diagonals import tril, triu
from dsl.ops.matrices import column, dot_all, fitted, flat, lead, mm, mT, outer, per_matrix
from dsl.ops.spec import Op, Printer, Text, called
from dsl.types import ShapeError, TensorType, product, same


def _infer_same(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("float", types[0].known)


# inverse -------------------------------------------------------------------------------------------------------------


def _vjp_inv(node: Apply, g: Node) -> Sequence[Node | None]:
    """A̅ = -outᵀ g outᵀ (Giles 2.2.3): two products, no second inverse."""
    return (neg(mm(mT(node), g, mT(node))),)


INV = Op("inv", _infer_same, called("np.linalg.inv"), _vjp_inv, raises=True, latex="{{0}}^{-1}")


def inv(A: Node) -> Node:
    return apply(INV, A)


# determinant ---------------------------------------------------------------------------------------------------------


def _infer_det(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("float", types[0].known[:-2])


def _vjp_det(node: Apply, g: Node) -> Sequence[Node | None]:
    """A̅ = g cofactor(A) (Giles 2.2.4), which exists for a singular matrix too."""
    return (mul(per_matrix(g), apply(COFACTOR, node.args[0], node)),)


def _vjp_cofactor(node: Apply, g: Node) -> Sequence[Node | None]:
    """With W = inv(A)ᵀ: A̅ = sum(g * out) W - W gᵀ out. It needs a nonsingular matrix. The second argument is a function of the first."""
    W = mT(inv(node.args[0]))
    return sub(mul(dot_all(g, node), W), mm(W, mT(g), node)), None


DET = Op("det", _infer_det, called("np.linalg.det"), _vjp_det, latex=r"\det({0})")
COFACTOR = Op("cofactor", _infer_same, called("_cofactor"), _vjp_cofactor, latex=r"\operatorname{cof}({0})")


def det(A: Node) -> Node:
    return apply(DET, A)


# solve ---------------------------------------------------------------------------------------------------------------


def _infer_solve(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    A, b = types
    core = 1 if len(b.known) == 1 else 2
    rows, given = A.known[-1], b.known[-core]
    if not same(rows, given):
        raise ShapeError(Code.E0304, f"the right-hand side has {given} rows, the matrix {rows}", f"{{0}} is {A}, {{1}} is {b}")
    return TensorType("float", (*lead(types, (2, core)), *b.known[-core:]))


def _vectors(solver: Callable[[Node, Node], Node], A: Node, b: Node) -> Node:
    """Solve for vectors [..., n] under one matrix or a stack. One matrix is factorised once: its vectors become the columns of one side."""
    shape = shape_of(b)
    if len(shape) == 1:
        return solver(A, b)
    if len(shape_of(A)) > 2:
        return flat(solver(A, column(b)))
    rows = reshape(b, (product(shape[:-1]), shape[-1]))
    return reshape(mT(solver(A, mT(rows))), shape)


def _pulled(node: Apply, g: Node, AT: Node, solver: Callable[[Node, Node], Node]) -> tuple[Node, Node]:
    """b̅ = Aᵀ⁻¹ g and A̅ = -b̅ outᵀ (Giles 2.3.1), not yet summed over broadcast axes: the solution is used again."""
    if len(shape_of(node.args[1])) == 1:
        back = _vectors(solver, AT, g)
        return back, neg(outer(back, node))
    back = solver(AT, g)
    return back, neg(mm(back, mT(node)))


def _vjp_solve(node: Apply, g: Node) -> Sequence[Node | None]:
    symmetric = is_symmetric(node)
    A = node.args[0]
    back, dA = _pulled(node, g, A if symmetric else mT(A), lambda A, b: solve(A, b, symmetric))
    return fitted(dA, node.args[0], node, g), fitted(back, node.args[1], node, g)


SOLVE = Op("solve", _infer_solve, called("np.linalg.solve"), _vjp_solve, raises=True, latex="{{0}}^{-1} {1}")


def solve(A: Node, b: Node, symmetric: bool = False) -> Node:
    """inv(A) @ b, where b is a vector if it has one axis, else a matrix or a stack of them (NumPy 2's rule). A ``symmetric`` A is one that is
    known to be so; its derivative needs no transpose, so that ``b @ solve(A, b)`` is solved once for both."""
    return apply(SOLVE, A, b, symmetric=True) if symmetric else apply(SOLVE, A, b)


def is_symmetric(node: Apply) -> bool:
    """Whether a solution's matrix is known to be symmetric."""
    return bool(dict(node.attrs).get("symmetric"))


def _emit_triangular(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    shown = [arg.text for arg in args]
    shown += [f"{name}=True" for name in ("lower", "unit_diagonal") if node.attr(name)]
    return Text(f"_solve_triangular({', '.join(shown)})")


def _vjp_triangular(node: Apply, g: Node) -> Sequence[Node | None]:
    """As solve's, with A̅ cut to the triangle that was read."""
    lower, unit = bool(node.attr("lower")), bool(node.attr("unit_diagonal"))
    back, dA = _pulled(node, g, mT(node.args[0]), lambda A, b: solve_triangular(A, b, not lower, unit))
    dA = tril(dA, -int(unit)) if lower else triu(dA, int(unit))
    return fitted(dA, node.args[0], node, g), fitted(back, node.args[1], node, g)


SOLVE_TRIANGULAR = Op("solve_triangular", _infer_solve, _emit_triangular, _vjp_triangular, raises=True)


def solve_triangular(A: Node, b: Node, lower: bool = False, unit_diagonal: bool = False) -> Node:
    """inv(T) @ b for the upper (or lower) triangle T of A."""
    return apply(SOLVE_TRIANGULAR, A, b, lower=lower, unit_diagonal=unit_diagonal)


# the diagonal of a matrix that is solved for -----------------------------------------------------------------------------


def _infer_nonzero(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return types[0]


def _vjp_nonzero(node: Apply, g: Node) -> Sequence[Node | None]:
    return (g,)


NONZERO = Op("nonzero", _infer_nonzero, called("_nonzero"), _vjp_nonzero, linear=True, elementwise=True, raises=True, latex="{0}")


def nonzero(d: Node) -> Node:
    """d itself, the diagonal of a matrix; where an entry is 0 the matrix is singular, and raises LinAlgError."""
    return apply(NONZERO, d)


# pseudo-inverse ------------------------------------------------------------------------------------------------------


def _infer_pinv(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    *before, rows, columns = types[0].known
    return TensorType("float", (*before, columns, rows))


def _emit_pinv(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    rcond = node.attr("rcond")
    return Text(f"np.linalg.pinv({args[0].text}{'' if rcond is None else f', rcond={rcond!r}'})")


def _vjp_pinv(node: Apply, g: Node) -> Sequence[Node | None]:
    """For P = A⁺ of locally constant rank: A̅ = -Pᵀ g Pᵀ + (I - A P) gᵀ P Pᵀ + Pᵀ P gᵀ (I - P A) (Golub & Pereyra 1973, equation 4.12).
    A square matrix of full rank needs the first term only, but the rank is not known here."""
    A, P = node.args[0], node
    PT, gT = mT(P), mT(g)
    right = mm(gT, mm(P, PT))
    left = mm(PT, mm(P, gT))
    first = neg(mm(PT, mm(g, PT)))
    second = sub(right, mm(A, mm(P, right)))
    third = sub(left, mm(left, mm(P, A)))
    return (add(add(first, second), third),)


PINV = Op("pinv", _infer_pinv, _emit_pinv, _vjp_pinv, raises=True, latex="{{0}}^{+}")


def pinv(A: Node, rcond: float | None = None) -> Node:
    return apply(PINV, A, rcond=rcond)


OPS = (INV, DET, COFACTOR, SOLVE, SOLVE_TRIANGULAR, NONZERO, PINV)

__all__ = ["OPS", "SOLVE_TRIANGULAR", "det", "inv", "is_symmetric", "nonzero", "pinv", "solve", "solve_triangular"]
