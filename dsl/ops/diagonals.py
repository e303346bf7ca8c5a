"""Diagonals and triangles of matrices. Axes and offsets are NumPy's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast as typing_cast

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply
from dsl.ops.core import add, number, shape_of
from dsl.ops.indexing import FULL, pick, scatter
from dsl.ops.making import arange
from dsl.ops.spec import Emit, Op, Printer, Text, function
from dsl.types import ZERO, Dim, Shape, ShapeError, TensorType, as_dim, least, require

# on and from a diagonal of the last two axes ---------------------------------------------------------------------------


def _offset(attrs: Mapping[str, object]) -> int:
    return int(str(attrs["k"]))


def _shown_offset(node: Apply) -> str:
    k = _offset(dict(node.attrs))
    return f", {k}" if k else ""


def _length(shape: Shape, k: int) -> Dim:
    """How many entries a diagonal has. One of a matrix of symbolic sizes is assumed not to lie outside it."""
    _require_diagonal(shape[-2], shape[-1], k)
    length = least(shape[-2] - max(-k, 0), shape[-1] - max(k, 0))
    return ZERO if length.constant is not None and length.constant < 0 else length


def _require_diagonal(rows: Dim, columns: Dim, k: int) -> None:
    side = rows if k < 0 else columns
    if k and side.constant is None:
        require(side, ">=", Dim.number(abs(k)), f"diagonal {k} must not lie outside")


def _infer_diag(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    size = types[0].known[0] + abs(_offset(attrs))
    return TensorType(types[0].dtype, (size, size))


def _emit_diag(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"np.diag({args[0].text}{_shown_offset(node)})")


def _vjp_diag(node: Apply, g: Node) -> Sequence[Node | None]:
    return (apply(DIAGONAL, g, k=node.attr("k")),)


def _infer_diagonal(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    shape = types[0].known
    return TensorType(types[0].dtype, (*shape[:-2], _length(shape, _offset(attrs))))


def _emit_diagonal(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    rank = len(node.args[0].type.known)
    where = f", axis1={rank - 2}, axis2={rank - 1}" if rank > 2 else ""
    return Text(f"np.diagonal({args[0].text}{_shown_offset(node)}{where})")


def _vjp_diagonal(node: Apply, g: Node) -> Sequence[Node | None]:
    shape, k = node.args[0].type.known, _offset(dict(node.attrs))
    if len(shape) == 2 and shape[0] == shape[1]:
        return (apply(DIAG, g, k=k),)
    i = arange(_length(shape, k))
    rows, columns = (add(i, number(shift)) if shift else i for shift in (max(-k, 0), max(k, 0)))
    return (scatter(g, (*[FULL] * (len(shape) - 2), ("array", 0), ("array", 1)), (rows, columns), shape),)


DIAG = Op("diag", _infer_diag, _emit_diag, _vjp_diag, linear=True)
DIAGONAL = Op("diagonal", _infer_diagonal, _emit_diagonal, _vjp_diagonal, linear=True, view=True)

# triangles -----------------------------------------------------------------------------------------------------------


def _emit_triangle(name: str) -> Emit:
    def emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
        return Text(f"np.{name}({args[0].text}{_shown_offset(node)})")

    return emit


def _vjp_triangle(node: Apply, g: Node) -> Sequence[Node | None]:
    return (apply(node.op, g, **dict(node.attrs)),)


def _infer_triangle(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType(types[0].dtype, types[0].shape)


TRIL, TRIU = (Op(name, _infer_triangle, _emit_triangle(name), _vjp_triangle, linear=True) for name in ("tril", "triu"))


def _triangle(op: Op, m: Node, k: int) -> Node:
    if len(shape_of(m, 2)) < 2:
        raise ShapeError(Code.E0302, f"`{op.name}` takes matrices", f"{{0}} is {m.type}")
    return apply(op, m, k=k)


def tril(m: Node, k: int = 0) -> Node:
    return _triangle(TRIL, m, k)


def triu(m: Node, k: int = 0) -> Node:
    return _triangle(TRIU, m, k)


def _infer_indices(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    n, m = (typing_cast(Dim, attrs[key]) for key in ("n", "m"))
    k, lower = _offset(attrs), bool(attrs["lower"])
    if n.constant is not None and m.constant is not None:
        count = sum(min(max(row + (k if lower else k - 1) + 1, 0), m.constant) for row in range(n.constant))
        return TensorType("int", (Dim.number(2), Dim.number(count if lower else n.constant * m.constant - count)))
    if n != m:
        raise ShapeError(Code.E0305, "the indices of a triangle need a square, or numbers for both sizes")
    _require_diagonal(n, n, _offset(attrs))
    # rows of 1, 2, … entries; what is on and above a diagonal is, transposed, on and below its mirror image
    return TensorType("int", (Dim.number(2), _staircase(n, k if lower else -k)))


def _staircase(n: Dim, k: int) -> Dim:
    """How many entries an n x n matrix has on and below its diagonal k, for n large enough that the diagonal crosses it."""
    if k > 0:
        return n * n - _staircase(n, -k - 1)
    side = n + k
    return side * (side + 1) // 2


def _emit_indices(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    n, m = (typing_cast(Dim, node.attr(key)) for key in ("n", "m"))
    k = _offset(dict(node.attrs))
    shown = [printer.dim(n)] + ([f"k={k}"] if k else []) + ([f"m={printer.dim(m)}"] if m != n else [])
    return Text(f"np.array(np.{'tril' if node.attr('lower') else 'triu'}_indices({', '.join(shown)}))")


INDICES = Op("triangle_indices", _infer_indices, _emit_indices)


def _indices(n: object, k: int, m: object, lower: bool) -> tuple[Node, Node]:
    rows = as_dim(typing_cast("int | Dim", n))
    both = apply(INDICES, n=rows, m=rows if m is None else as_dim(typing_cast("int | Dim", m)), k=k, lower=lower)
    return pick(both, -2, 0), pick(both, -2, 1)


def tril_indices(n: object, k: int, m: object) -> tuple[Node, Node]:
    return _indices(n, k, m, True)


def triu_indices(n: object, k: int, m: object) -> tuple[Node, Node]:
    return _indices(n, k, m, False)


OPS = (DIAG, DIAGONAL, TRIL, TRIU, INDICES)

FUNCTIONS = (
    function(
        "tril(m, k: int = 0)",
        "shape",
        "The lower triangle up to diagonal k, zeros above.",
        tril,
        derivative="the lower triangle of g",
        cases=("y * tril(x)", "y * tril(x, 1)", "tril(x, k=-1) | x: [2, 3, 3]"),
    ),
    function(
        "triu(m, k: int = 0)",
        "shape",
        "The upper triangle from diagonal k, zeros below.",
        triu,
        derivative="the upper triangle of g",
        cases=("y * triu(x)", "y * triu(x, 1)", "triu(x, k=-1) | x: [2, 3, 3]"),
    ),
    function(
        "tril_indices(n: size, k: int = 0, m: size = None)",
        "making",
        "The rows and the columns of a lower triangle's entries, for indexing.",
        tril_indices,
        cases=(
            "x[tril_indices(3)[0], tril_indices(3)[1]]",
            "x[tril_indices(3, 1, 4)[0], tril_indices(3, 1, 4)[1]]",
            "x[tril_indices(N, -1)[0], tril_indices(N, -1)[1]] | x: [N, N]",
            "x[tril_indices(N, 1)[0], tril_indices(N, 1)[1]] | x: [N, N]",
        ),
    ),
    function(
        "triu_indices(n: size, k: int = 0, m: size = None)",
        "making",
        "The rows and the columns of an upper triangle's entries, for indexing.",
        triu_indices,
        cases=(
            "x[triu_indices(3)[0], triu_indices(3)[1]]",
            "x[triu_indices(3, 1, 4)[0], triu_indices(3, 1, 4)[1]]",
            "x[triu_indices(N)[0], triu_indices(N)[1]] | x: [N, N]",
            "x[triu_indices(N, -1)[0], triu_indices(N, -1)[1]] | x: [N, N]",
        ),
    ),
)
