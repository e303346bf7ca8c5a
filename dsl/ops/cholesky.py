"""Cholesky's factor and its derivative, which takes the cotangent term by term: what most programs do to a factor needs no triangular solve of a
whole matrix.

Below, for the factor L with cotangent g, A̅ is the matrix's, and X is L⁻ᵀ. All are batched over the axes before the last two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsl.nodes import Apply, Node, apply
from dsl.ops.contraction import einsum, split_spec
from dsl.ops.core import add, mul, neg, number
from dsl.ops.diagonals import DIAG, TRIL, triu
from dsl.ops.linalg_ops import SOLVE_TRIANGULAR, solve_triangular
from dsl.ops.making import eye
from dsl.ops.matrices import mirrored, mm, mT, outer
from dsl.ops.spec import Op, Printer, Text
from dsl.types import TensorType


def _infer(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("float", types[0].known)


# the inverse of a triangle -------------------------------------------------------------------------------------------


def _emit_inv_upper(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"_inv_upper({args[0].text})")


def _vjp_inv_upper(node: Apply, g: Node) -> Sequence[Node | None]:
    """As inv's, cut to the triangle."""
    return (neg(triu(mm(mT(node), g, mT(node)))),)


INV_UPPER = Op("inv_upper", _infer, _emit_inv_upper, _vjp_inv_upper, raises=True, latex="{{0}}^{-1}")


def inv_upper(U: Node) -> Node:
    """The inverse of a matrix that has nothing but zeros below its diagonal."""
    return apply(INV_UPPER, U)


# the factor ----------------------------------------------------------------------------------------------------------


@dataclass
class _Core:
    """The symmetric Q with the lower triangle of Lᵀ g, in parts: a multiple of the identity, a diagonal, the lower triangle of the ``rest``;
    and what X Q Xᵀ has beside these, outer products that are made already."""

    multiple: Node | None = None
    diagonal: Node | None = None
    rest: Node | None = None
    outside: Node | None = None


def _emit_cholesky(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"np.linalg.cholesky({args[0].text})")


def _vjp_cholesky(node: Apply, g: Node) -> Sequence[Node | None]:
    """A̅ = X Q Xᵀ / 2 with Q the symmetric matrix that has the lower triangle of Lᵀ g (Murray, *Differentiation of the Cholesky decomposition*,
    2016, equation 10). X is made once, and only where Q is more than outer products of what was solved for already."""
    core, total = _core(node, g), None
    inner = core.diagonal if core.rest is None else _plus(core.diagonal, mirrored(core.rest))
    if core.multiple is not None and inner is not None:
        inner = add(inner, mul(core.multiple, eye(node.type.known[-1])))
    if inner is not None:
        total = mm(inv_upper(mT(node)), inner, mT(inv_upper(mT(node))))
    elif core.multiple is not None:
        total = mul(core.multiple, mm(inv_upper(mT(node)), mT(inv_upper(mT(node)))))
    if core.outside is not None:
        total = _plus(total, core.outside)
    return (None if total is None else mul(number(0.5), total),)


def _core(L: Apply, g: Node) -> _Core:
    """Q, from the terms that g adds up, each with the number that it is multiplied by. Of a term the lower triangle alone counts: in Lᵀ g no
    entry from above g's diagonal comes to lie below."""
    core = _Core()
    stack: list[tuple[Node, Node]] = [(g, number(1.0))]
    while stack:
        term, scale = stack.pop()
        parts = _parts(term, scale)
        if parts:
            stack += reversed(parts)
        elif not _placed(core, L, term, scale):
            core.rest = _plus(core.rest, mul(scale, mm(mT(L), term)))
    return core


def _parts(term: Node, scale: Node) -> list[tuple[Node, Node]]:
    """The terms of a sum; what a number, a sign or a triangle is taken of."""
    if not isinstance(term, Apply):
        return []
    name, args = term.op.name, term.args
    if name in ("add", "subtract") and all(arg.type.matches(term.type) for arg in args):
        return [(args[0], scale), (args[1], neg(scale) if name == "subtract" else scale)]
    if name == "negative":
        return [(args[0], neg(scale))]
    if name == "multiply" and args[0].type.shape == ():
        return [(args[1], mul(scale, args[0]))]
    return [(args[0], scale)] if term.op is TRIL and term.attr("k") == 0 else []


def _placed(core: _Core, L: Apply, term: Node, scale: Node) -> bool:
    """Whether a term is one whose part of Q needs no product with L: a diagonal, or an outer product of what was solved for by Lᵀ."""
    if not isinstance(term, Apply) or len(term.type.known) != 2:
        return False
    if term.op is DIAG and term.attr("k") == 0:
        (d,) = term.args
        if isinstance(d, Apply) and d.op.name == "divide" and d.args[0].type.shape == () and _is_diagonal(d.args[1], L):
            core.multiple = _plus(core.multiple, mul(scale, d.args[0]))
        else:
            core.diagonal = _plus(core.diagonal, apply(DIAG, mul(scale, mul(d, einsum("ii->i", L))), k=0))
        return True
    if term.op.name != "einsum" or term.attr("spec") not in ("i,j->ij", "ij,kj->ik"):
        return False
    (solution, times), (v, more) = map(_led, term.args)
    U = mT(L)
    u = solution.args[1] if isinstance(solution, Apply) and solution.op is SOLVE_TRIANGULAR else None
    if u is None or solution is not solve_triangular(U, u):
        return False
    u, factor = _led(u)
    scale = mul(mul(scale, times), mul(factor, more))
    if u is v:
        core.outside = _plus(core.outside, mul(scale, _outer(*[solve_triangular(U, u)] * 2)))
    else:
        core.rest = _plus(core.rest, mul(scale, _outer(u, v)))
    return True


def _is_diagonal(node: Node, L: Node) -> bool:
    if not (isinstance(node, Apply) and node.op.name == "einsum" and node.args == (L,)):
        return False
    (labels,), output = split_spec(str(node.attr("spec")))
    return labels == output * 2


def _outer(u: Node, v: Node) -> Node:
    return outer(u, v) if len(u.type.known) == 1 else mm(u, mT(v))


def _led(node: Node) -> tuple[Node, Node]:
    """An array without the number that it is multiplied by, and that."""
    if isinstance(node, Apply) and node.op.name == "multiply" and node.args[0].type.shape == () and node.type.shape != ():
        return node.args[1], node.args[0]
    return node, number(1.0)


def _plus(x: Node | None, y: Node) -> Node:
    return y if x is None else add(x, y)


CHOLESKY = Op("cholesky", _infer, _emit_cholesky, _vjp_cholesky, raises=True)


def cholesky(A: Node) -> Node:
    """The lower triangular L with L Lᵀ = A."""
    return apply(CHOLESKY, A)


OPS = (INV_UPPER, CHOLESKY)

__all__ = ["CHOLESKY", "INV_UPPER", "OPS", "cholesky", "inv_upper"]
