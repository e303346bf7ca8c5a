"""The linear-algebra functions of the language: NumPy's signatures, arguments checked, each built of the primitives beside this file.

NumPy has no triangular solve, so ``solve_triangular`` is a blocked substitution of matrix products: n² k operations for k right-hand
sides, as it should be, but without LAPACK's speed for small matrices. No LU factors can be kept either: ``solve`` factorises once in
forward and once, transposed, in backward, which is cheaper than one inverse that would serve both, unless that is needed anyway
(``calculus/inverses.py``).
"""

from __future__ import annotations

from dsl.diagnostics import Code
from dsl.nodes import Node
from dsl.ops import factorisations, linalg_ops
from dsl.ops.cholesky import cholesky
from dsl.ops.core import shape_of
from dsl.ops.elementwise import cast
from dsl.ops.matrices import as_matrix, as_square, as_symmetric, mT
from dsl.ops.spec import function
from dsl.types import ShapeError, same


def _side(b: Node, name: str) -> Node:
    """A right-hand side: a vector, or a matrix or stack of them. Raises ShapeError for a scalar."""
    if not shape_of(b):
        raise ShapeError(Code.E0302, f"the right-hand side of `{name}` is a scalar", "{1}", "it needs a vector or a matrix")
    return cast(b, "float")


def _slogdet(a: Node) -> tuple[Node, ...]:
    return factorisations.slogdet(as_square(a, "slogdet"))


def _logdet(A: Node) -> Node:
    return factorisations.slogdet(as_square(A, "logdet"))[1]


def _cholesky(a: Node, upper: bool) -> Node:
    L = cholesky(as_symmetric(a, "cholesky"))
    return mT(L) if upper else L


def _solve(a: Node, b: Node) -> Node:
    return linalg_ops.solve(as_square(a, "solve"), _side(b, "solve"))


def _solve_triangular(A: Node, b: Node, trans: object, lower: bool, unit_diagonal: bool) -> Node:
    A, b = as_square(A, "solve_triangular"), _side(b, "solve_triangular")
    if trans in (0, "N") and not isinstance(trans, bool):
        return linalg_ops.solve_triangular(A, b, lower, unit_diagonal)
    if trans in (1, 2, "T", "C") and not isinstance(trans, bool):
        return linalg_ops.solve_triangular(mT(A), b, not lower, unit_diagonal)
    raise ShapeError(Code.E0204, f"`trans` may be 0 or 'N', 1 or 'T', not {trans!r}")


def _eigh(a: Node, UPLO: str) -> tuple[Node, ...]:
    if UPLO.upper() not in ("L", "U"):
        raise ShapeError(Code.E0204, f"`UPLO` may be 'L' or 'U', not {UPLO!r}")
    return factorisations.eigh(as_symmetric(a, "eigh"), UPLO.upper() == "U")


def _svd(a: Node, full_matrices: bool, compute_uv: bool) -> tuple[Node, ...] | Node:
    U, S, Vh = factorisations.svd(as_matrix(a, "svd"), full_matrices and compute_uv)
    return (U, S, Vh) if compute_uv else S


def _qr(a: Node, mode: str) -> tuple[Node, ...] | Node:
    if mode not in ("reduced", "complete", "r"):
        raise ShapeError(Code.E0204, f"`mode` may be 'reduced', 'complete' or 'r', not {mode!r}")
    Q, R = factorisations.qr(as_matrix(a, "qr"), mode)
    return R if mode == "r" else (Q, R)


def _rcond(rcond: object, name: str) -> float | None:
    if rcond is None or (isinstance(rcond, (int, float)) and not isinstance(rcond, bool)):
        return None if rcond is None else float(rcond)
    raise ShapeError(Code.E0204, f"`rcond` of `{name}` must be a number, not {rcond!r}")


def _pinv(a: Node, rcond: object) -> Node:
    return linalg_ops.pinv(as_matrix(a, "pinv"), _rcond(rcond, "pinv"))


def _lstsq(a: Node, b: Node, rcond: object) -> tuple[Node, ...]:
    a, b = as_matrix(a, "lstsq"), _side(b, "lstsq")
    if len(shape_of(a)) > 2 or len(shape_of(b)) > 2:
        raise ShapeError(Code.E0302, "`lstsq` takes one matrix, not a stack", f"{{0}} is {a.type}, {{1}} is {b.type}", "write `pinv(A) @ b`")
    if not same(shape_of(a)[0], shape_of(b)[0]):
        raise ShapeError(Code.E0304, f"the right-hand side has {shape_of(b)[0]} rows, the matrix {shape_of(a)[0]}", f"{{0}} is {a.type}, {{1}} is {b.type}")
    return factorisations.lstsq(a, b, _rcond(rcond, "lstsq"))


FAMILY = "linear algebra"
MATRIX, STACK = "A: [3, 3] nonsingular", "A: [2, 3, 3] nonsingular"
SPD, SPDS = "S: [3, 3] spd", "S: [2, 3, 3] spd"
SYMMETRIC, SYMMETRICS = "S: [3, 3] symmetric", "S: [2, 3, 3] symmetric"

FUNCTIONS = (
    function(
        "inv(a)",
        FAMILY,
        "The inverse of a square matrix. A singular one raises LinAlgError.",
        lambda a: linalg_ops.inv(as_square(a, "inv")),
        derivative="-inv(a).T @ g @ inv(a).T, with the inverse that forward made",
        cases=(f"inv(A) | {MATRIX}", f"inv(A) | {STACK}", "inv(A) | A: [1, 1] nonsingular"),
    ),
    function(
        "det(a)",
        FAMILY,
        "The determinant.",
        lambda a: linalg_ops.det(as_square(a, "det")),
        derivative="g times the matrix of cofactors, also where the matrix is singular",
        cases=(f"det(A) | {MATRIX}", f"det(A) | {STACK}", "det(A) | A: [1, 1] nonsingular"),
    ),
    function(
        "slogdet(a)",
        FAMILY,
        "The determinant's sign, and the logarithm of its absolute value.",
        _slogdet,
        derivative="g inv(a).T for the logarithm, 0 for the sign",
        cases=(f"slogdet(A)[1] | {MATRIX}", f"slogdet(A)[0] * slogdet(A)[1] | {STACK}"),
    ),
    function(
        "logdet(A)",
        FAMILY,
        "The logarithm of the determinant's absolute value: slogdet(A)[1].",
        _logdet,
        derivative="g inv(A).T",
        cases=(f"logdet(A) | {MATRIX}", f"logdet(A) | {STACK}"),
    ),
    function(
        "solve(a, b)",
        FAMILY,
        "inv(a) @ b, without the inverse. b is a vector if it has one axis, else a matrix or a stack of them. A singular a raises LinAlgError.",
        _solve,
        derivative="with c = solve(a.T, g): c for b, -outer(c, out) for a",
        cases=(
            f"solve(A, b) | {MATRIX}; b: [3]",
            f"solve(A, B) | {MATRIX}; B: [3, 2]",
            f"solve(A, b) | {STACK}; b: [3]",
            f"solve(A, B) | {STACK}; B: [3, 2]",
            f"solve(A, B) | {MATRIX}; B: [2, 3, 1]",
            f"solve(A, B) | {STACK}; B: [4, 1, 3, 2]",
            "solve(diag(x), b) | x: [3] positive; b: [3]",
            "solve(diag(x), B) | x: [3] positive; B: [3, 2]",
        ),
    ),
    function(
        "solve_triangular(A, b, trans: static = 0, lower: flag = False, unit_diagonal: flag = False)",
        FAMILY,
        "inv(T) @ b for the upper (or lower) triangle T of A, or its transpose; the other triangle is not read. In blocks of 64 rows, for NumPy has none.",
        _solve_triangular,
        derivative="as solve's, in the triangle alone",
        cases=(
            f"solve_triangular(A, b) | {MATRIX}; b: [3]",
            f"solve_triangular(A, B, trans=1, lower=True) | {MATRIX}; B: [3, 2]",
            f"solve_triangular(A, b, 'T') | {MATRIX}; b: [3]",
            f"solve_triangular(A, b, unit_diagonal=True) | {MATRIX}; b: [3]",
            f"solve_triangular(A, B, lower=True) | {STACK}; B: [3, 2]",
            "solve_triangular(R, b, lower=True) | R: [3, 3] triangular; b: [3]",
        ),
    ),
    function(
        "cholesky(a, /, *, upper: flag = False)",
        FAMILY,
        "The lower triangular L with L @ L.T = a. a is taken as symmetric; one that is not positive definite raises LinAlgError.",
        _cholesky,
        derivative="symmetric: Murray (2016), with one inverse of L, which solve_triangular then uses too",
        cases=(f"cholesky(S) | {SPD}", f"cholesky(S, upper=True) | {SPD}", f"cholesky(S) | {SPDS}"),
    ),
    function(
        "eigh(a, UPLO: text = 'L')",
        FAMILY,
        "Eigenvalues, ascending, and eigenvectors in columns. a is taken as symmetric; the signs of eigenvectors are NumPy's.",
        _eigh,
        derivative="symmetric. Where eigenvalues are equal to rounding they do not turn one another's eigenvectors: "
        "right for what depends on the eigenvalues alone, finite for the rest",
        cases=(
            f"eigh(S)[0] | {SYMMETRIC}",
            f"eigh(S)[1] ** 2 | {SYMMETRIC}",
            f"eigh(S, 'U')[0] | {SYMMETRIC}",
            f"eigh(S)[1] * eigh(S)[0][:, None] | {SYMMETRICS}",
        ),
    ),
    function(
        "svd(a, full_matrices: flag = True, compute_uv: flag = True)",
        FAMILY,
        "U, the singular values, descending, and Vᵀ, with NumPy's signs; the values alone for compute_uv=False.",
        _svd,
        derivative="Townsend (2016), for full_matrices=False or a square matrix; equal singular values as in eigh",
        cases=(
            "svd(x, full_matrices=False)[0]",
            "svd(x, compute_uv=False)",
            "svd(x, full_matrices=False)[2]",
            "svd(x)[1]",
            "svd(x)[0] @ svd(x)[2] | x: [3, 3]",
            "svd(x, full_matrices=False)[0] | x: [4, 3]",
            "svd(x, full_matrices=False)[2] | x: [2, 4, 3]",
        ),
    ),
    function(
        "qr(a, mode: text = 'reduced')",
        FAMILY,
        "Q with orthonormal columns and R upper triangular, with NumPy's signs; R alone for mode='r'.",
        _qr,
        derivative="Walter & Lehmann (2010), for at least as many rows as columns and full rank",
        cases=(
            "qr(x)[0] | x: [4, 3]",
            "qr(x)[1] | x: [4, 3]",
            "qr(x, mode='r') | x: [3, 3]",
            "qr(x, 'complete')[0] | x: [3, 3]",
            "qr(x)[0] @ qr(x)[1] | x: [2, 4, 3]",
        ),
    ),
    function(
        "pinv(a, rcond: static = None)",
        FAMILY,
        "The Moore-Penrose pseudo-inverse.",
        _pinv,
        derivative="Golub & Pereyra (1973), where the rank does not change",
        cases=("pinv(x) | x: [4, 3]", "pinv(x) | x: [3, 4]", "pinv(x) | x: [2, 3, 3]", "pinv(x, rcond=1e-9) | x: [3, 3]"),
    ),
    function(
        "lstsq(a, b, rcond: static = None)",
        FAMILY,
        "The x of least norm that makes |a @ x - b| least, the sums of squared residuals, a's rank, its singular values.",
        _lstsq,
        derivative="of x by the pseudo-inverse, where the rank does not change; of the residuals and the singular values too",
        cases=(
            "lstsq(x, b)[0] | x: [4, 3]; b: [4]",
            "lstsq(x, B)[0] | x: [4, 3]; B: [4, 2]",
            "lstsq(x, B)[1] | x: [4, 3]; B: [4, 2]",
            "lstsq(x, b)[1] | x: [4, 3]; b: [4]",
            "lstsq(x, b)[3] | x: [4, 3]; b: [4]",
            "lstsq(x, b)[0] | x: [3, 4]; b: [3]",
        ),
    ),
)
