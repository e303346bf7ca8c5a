"""Factorisations: operations with several results, of which NumPy's call is printed once.

A value of the graph has one type, so a factorisation is a node that stands for all its results, and ``part(node, i)`` takes out one:
``w`` and ``V`` of ``w, V = np.linalg.eigh(A)`` are parts 0 and 1 of one interned ``eigh`` node, and backward, which needs both, finds them
again instead of factorising anew. That node has its argument's type, which only serves to tell it is a float.

Reverse mode gives such a node the sum of ``unpart(g, i)``, one for each part that has a cotangent; ``cotangents`` takes the sum apart
again, so that a rule sees all its parts' cotangents at once, ``None`` for those that nobody used. No ``unpart`` is ever printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast as typing_cast

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply
from dsl.ops.core import add, div, mul, neg, number, shape_of, sub, where
from dsl.ops.elementwise import ew
from dsl.ops.linalg_ops import inv, pinv, solve_triangular
from dsl.ops.matrices import column, flat, mirrored, mm, mT, per_matrix, row, symmetrised
from dsl.ops.reduction import reduce
from dsl.ops.spec import ATOM, Op, Printer, Text
from dsl.types import ONE, ZERO, Dim, Shape, ShapeError, TensorType, least, require

# one result of several -----------------------------------------------------------------------------------------------


def _infer_part(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType(str(attrs["dtype"]), typing_cast(Shape, attrs["shape"]))


def _emit_part(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"{args[0].at(ATOM)}[{node.attr('index')}]")


def _vjp_part(node: Apply, g: Node) -> Sequence[Node | None]:
    return (apply(UNPART, g, node.args[0], index=node.attr("index")),)


def _infer_unpart(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return types[1]


def _emit_unpart(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    raise AssertionError("a part's cotangent is taken out of the sum before anything is printed")


def _latex_part(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    whole, number = node.args[0], place_of(node)
    parts = whole.op.parts if isinstance(whole, Apply) else ()
    return Text(rf"{{{args[0].text}}}_{{\text{{{parts[number] if parts else number + 1}}}}}")


PART = Op("part", _infer_part, _emit_part, _vjp_part, latex=_latex_part)
UNPART = Op("unpart", _infer_unpart, _emit_unpart)


def part(node: Apply, index: int, shape: Shape, dtype: str = "float") -> Node:
    """One result of a factorisation. ``shape`` is its own."""
    return apply(PART, node, index=index, shape=shape, dtype=dtype)


def place_of(part: Apply) -> int:
    """Which of several results a part is."""
    return int(str(part.attr("index")))


def with_parts(nodes: Iterable[Node], order: Iterable[Node]) -> dict[Node, None]:
    """The nodes, and after them all parts in an order of those that have several results: all of these are there, or none is."""
    found = dict.fromkeys(nodes)
    return found | dict.fromkeys(node for node in order if isinstance(node, Apply) and node.op is PART and node.args[0] in found)


def parts_of(order: Iterable[Node]) -> dict[Node, dict[int, Node]]:
    """Of every node with several results those parts that are among the nodes, by their place."""
    found: dict[Node, dict[int, Node]] = {}
    for node in order:
        if isinstance(node, Apply) and node.op is PART:
            found.setdefault(node.args[0], {})[place_of(node)] = node
    return found


def cotangents(node: Apply, g: Node) -> list[Node | None]:
    """The cotangent of each part, out of the sum of ``unpart`` nodes that reverse mode made."""
    found = unparted(g)
    return [found.get(i) for i in range(len(node.op.parts))]


def unparted(g: Node) -> dict[int, Node]:
    """The cotangents of those parts that have one."""
    found: dict[int, Node] = {}
    stack = [g]
    while stack:
        each = stack.pop()
        assert isinstance(each, Apply)
        if each.op is UNPART:
            index = place_of(each)
            found[index] = add(found[index], each.args[0]) if index in found else each.args[0]
        else:
            assert each.op.name == "add"
            stack += reversed(each.args)
    return found


def _infer_whole(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("float", types[0].known)


def _call(name: str) -> Callable[[Apply, Sequence[Text], Printer], Text]:
    def emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
        shown = [arg.text for arg in args] + [f"{key}={value!r}" for key, value in node.attrs if value is not None]
        return Text(f"{name}({', '.join(shown)})")

    return emit


def _added(*terms: Node | None) -> Node | None:
    total: Node | None = None
    for each in terms:
        if each is not None:
            total = each if total is None else add(total, each)
    return total


# determinant by its logarithm ----------------------------------------------------------------------------------------


def _vjp_slogdet(node: Apply, g: Node) -> Sequence[Node | None]:
    """A̅ = g inv(A)ᵀ for the logarithm (Giles 2.2.4); the sign is constant where it is not undefined."""
    log = cotangents(node, g)[1]
    return (None if log is None else mul(per_matrix(log), mT(inv(node.args[0]))),)


SLOGDET = Op("slogdet", _infer_whole, _call("np.linalg.slogdet"), _vjp_slogdet, parts=("sign", "logdet"))


def slogdet(A: Node) -> tuple[Node, Node]:
    """The determinant's sign, and the logarithm of its absolute value."""
    whole, shape = apply(SLOGDET, A), shape_of(A)[:-2]
    return part(whole, 0, shape), part(whole, 1, shape)


# eigenvalues ---------------------------------------------------------------------------------------------------------


def _infer_gaps(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    shape = types[0].known
    return TensorType("float", (*shape, shape[-1]))


def _emit_gaps(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"_reciprocal_gaps({args[0].text}{', squared=True' if node.attr('squared') else ''})")


def _vjp_gaps(node: Apply, g: Node) -> Sequence[Node | None]:
    """d(1 / (w_j - w_i)) = -out² (dw_j - dw_i), and with 2 w for w's squares."""
    slope = mul(g, ew("square", node))
    change = sub(reduce("sum", slope, -1), reduce("sum", slope, -2))
    return (mul(mul(number(2.0), node.args[0]), change) if node.attr("squared") else change,)


GAPS = Op("reciprocal_gaps", _infer_gaps, _emit_gaps, _vjp_gaps)


def gaps(w: Node, squared: bool = False) -> Node:
    """1 / (w[j] - w[i]) at [i, j], or of their squares; 0 where the two are equal to rounding, as on the diagonal."""
    return apply(GAPS, w, squared=squared)


def _vjp_eigh(node: Apply, g: Node) -> Sequence[Node | None]:
    """A̅ = V (diag(w̅) + sym(F * Vᵀ V̅)) Vᵀ with F[i, j] = 1 / (w[j] - w[i]) (Giles 3.1), symmetric. F is 0 where two eigenvalues are
    equal to rounding: right for every function of the eigenvalues alone, such as their sum, and for eigenvectors finite at least."""
    gw, gV = cotangents(node, g)
    w, V = _eigh_parts(node)
    inner: Node | None = None if gw is None else mul(V, row(gw))
    if gV is not None:
        turned = mm(V, symmetrised(mul(gaps(w), mm(mT(V), gV))))
        inner = turned if inner is None else add(inner, turned)
    return (None if inner is None else mm(inner, mT(V)),)


EIGH = Op("eigh", _infer_whole, _call("np.linalg.eigh"), _vjp_eigh, raises=True, parts=("w", "V"))


def _eigh_parts(whole: Apply) -> tuple[Node, Node]:
    shape = shape_of(whole)
    return part(whole, 0, shape[:-1]), part(whole, 1, shape)


def eigh(A: Node, upper: bool = False) -> tuple[Node, Node]:
    """Eigenvalues, ascending, and eigenvectors in columns, of a symmetric matrix of which one triangle is read."""
    return _eigh_parts(apply(EIGH, A, UPLO="U" if upper else None))


# singular values -----------------------------------------------------------------------------------------------------


def _vjp_svd(node: Apply, g: Node) -> Sequence[Node | None]:
    """A̅ = (U (diag(S̅) + (F * skew(Uᵀ U̅)) diag(S) + diag(S) (F * skew(Vᵀ V̅))) + (I - U Uᵀ) U̅ / S) Vᵀ + U / S V̅ᵀ (I - V Vᵀ), where
    F[i, j] = 1 / (S[j]² - S[i]²), 0 where they are equal to rounding, and skew(M) = M - Mᵀ (Townsend, *Differentiating the singular
    value decomposition*, 2016)."""
    gU, gS, gVh = cotangents(node, g)
    m, n = shape_of(node)[-2:]
    full = node.attr("full_matrices") is None
    if full and (gU is not None or gVh is not None):
        raise ShapeError(
            Code.E0401, "`svd` with `full_matrices=True` has no derivative: part of its vectors is arbitrary", help="write `svd(…, full_matrices=False)`"
        )
    # the singular values have second derivatives only by vectors that have a first
    U, S, Vh = svd(node.args[0]) if full else _svd_parts(node, False)
    if gU is None and gVh is None:
        return (None if gS is None else mm(mul(U, row(gS)), Vh),)
    F, V = gaps(S, squared=True), mT(Vh)
    left = None if gS is None else mul(U, row(gS))
    right: Node | None = None
    if gU is not None:
        seen = mm(mT(U), gU)
        left = _added(left, mm(U, mul(mul(F, sub(seen, mT(seen))), row(S))))
        if m != least(m, n):
            left = _added(left, mul(sub(gU, mm(U, seen)), row(_reciprocal(S))))
    if gVh is not None:
        seen = mm(gVh, V)
        left = _added(left, mm(U, mul(column(S), mul(F, sub(mT(seen), seen)))))
        if n != least(m, n):
            right = mm(mul(U, row(_reciprocal(S))), sub(gVh, mm(seen, Vh)))
    return (_added(None if left is None else mm(left, Vh), right),)


def _reciprocal(S: Node) -> Node:
    """1 / S, and 0 where S is 0: there the singular vectors are arbitrary."""
    zero = ew("equal", S, number(0.0))
    return where(zero, number(0.0), div(number(1.0), where(zero, number(1.0), S)))


SVD = Op("svd", _infer_whole, _call("np.linalg.svd"), _vjp_svd, raises=True, parts=("U", "S", "Vh"))


def _svd_parts(whole: Apply, full: bool) -> tuple[Node, Node, Node]:
    *before, m, n = shape_of(whole)
    k = least(m, n)
    rows, columns = (m, n) if full else (k, k)
    return part(whole, 0, (*before, m, rows)), part(whole, 1, (*before, k)), part(whole, 2, (*before, columns, n))


def svd(A: Node, full: bool = False) -> tuple[Node, Node, Node]:
    """U, the singular values, descending, and Vᵀ."""
    m, n = shape_of(A)[-2:]
    return _svd_parts(apply(SVD, A, full_matrices=None if full and m != n else False), full)


# QR ------------------------------------------------------------------------------------------------------------------


def _vjp_qr(node: Apply, g: Node) -> Sequence[Node | None]:
    """A̅ = (Q̅ + Q M) R⁻ᵀ with M the symmetric matrix that has the lower triangle of R R̅ᵀ - Q̅ᵀ Q (Walter & Lehmann, *Algorithmic
    differentiation of linear algebra functions*, 2010), for at least as many rows as columns and full rank."""
    gQ, gR = cotangents(node, g)
    m, n = shape_of(node)[-2:]
    if node.attr("mode") == "complete" and m != n:
        raise ShapeError(Code.E0401, "`qr` with `mode='complete'` has no derivative: part of Q is arbitrary", help="write `qr(…)`")
    if _wide(m, n):
        raise ShapeError(Code.E0401, f"`qr` of a matrix of {m} rows and {n} columns has no derivative", help="it has one for at least as many rows as columns")
    Q, R = _qr_parts(node)
    M = _added(None if gR is None else mm(R, mT(gR)), None if gQ is None else neg(mm(mT(gQ), Q)))
    if M is None:
        return (None,)
    inner = _added(gQ, mm(Q, mirrored(M)))
    assert inner is not None
    return (mT(solve_triangular(R, mT(inner))),)


def _wide(m: Dim, n: Dim) -> bool:
    gap = (m - n).constant
    return gap is not None and gap < 0


QR = Op("qr", _infer_whole, _call("np.linalg.qr"), _vjp_qr, raises=True, parts=("Q", "R"))


def _qr_parts(whole: Apply) -> tuple[Node, Node]:
    *before, m, n = shape_of(whole)
    k = m if whole.attr("mode") == "complete" or _wide(m, n) else n
    return part(whole, 0, (*before, m, k)), part(whole, 1, (*before, k, n))


def qr(A: Node, mode: str = "reduced") -> tuple[Node, Node]:
    """Q with orthonormal columns and R upper triangular. Of symbolic sizes, at least as many rows as columns are assumed."""
    m, n = shape_of(A)[-2:]
    if (m - n).constant is None:
        require(m, ">=", n, "`qr` takes at least as many rows as columns")
    return _qr_parts(apply(QR, A, mode="complete" if mode == "complete" else None))


# least squares -------------------------------------------------------------------------------------------------------


def _vjp_lstsq(node: Apply, g: Node) -> Sequence[Node | None]:
    """For x = A⁺ b of locally constant rank, with r = b - A x, u = A⁺ᵀ x̅ and v = A⁺ u (Golub & Pereyra 1973):
    A̅ = r vᵀ - u xᵀ + A⁺ᵀ x (x̅ - Aᵀ u)ᵀ and b̅ = u. The residuals are sums of r², whose slope in x is 0; s is svd's."""
    A, b = node.args
    gx, gr, _, gs = cotangents(node, g)
    x = _lstsq_parts(node)[0]
    dA: Node | None = None
    db: Node | None = None
    if gx is not None or gr is not None:
        vector = len(shape_of(b)) == 1
        B, X = (column(b), column(x)) if vector else (b, x)
        r = sub(B, mm(A, X))
        if gr is not None:
            db = mul(mul(number(2.0), r), row(gr))
            dA = neg(mm(db, mT(X)))
        if gx is not None:
            G = column(gx) if vector else gx
            P = pinv(A)
            u = mm(mT(P), G)
            third = mm(mm(mT(P), X), mT(sub(G, mm(mT(A), u))))
            dA = _added(dA, sub(mm(r, mT(mm(P, u))), mm(u, mT(X))), third)
            db = _added(db, u)
        db = flat(db) if vector and db is not None else db
    if gs is not None:
        U, _, Vh = svd(A)
        dA = _added(dA, mm(mul(U, row(gs)), Vh))
    return dA, db


LSTSQ = Op("lstsq", _infer_whole, _call("np.linalg.lstsq"), _vjp_lstsq, raises=True, parts=("x", "residuals", "rank", "s"))


def _lstsq_parts(whole: Apply) -> tuple[Node, Node, Node, Node]:
    A, b = (shape_of(arg) for arg in whole.args)
    m, n = A
    wide = (m - n).constant is not None and not _wide(n, m)
    sides = (ZERO,) if wide else b[1:] or (ONE,)
    return part(whole, 0, (n, *b[1:])), part(whole, 1, sides), part(whole, 2, (), "int"), part(whole, 3, (least(m, n),))


def lstsq(A: Node, b: Node, rcond: float | None = None) -> tuple[Node, Node, Node, Node]:
    """The x of least norm among those that make |A x - b| least, the sums of squared residuals, A's rank, its singular values."""
    return _lstsq_parts(apply(LSTSQ, A, b, rcond=rcond))


OPS = (PART, UNPART, SLOGDET, GAPS, EIGH, SVD, QR, LSTSQ)

__all__ = ["OPS", "PART", "cotangents", "eigh", "lstsq", "part", "parts_of", "place_of", "qr", "slogdet", "svd", "with_parts"]
