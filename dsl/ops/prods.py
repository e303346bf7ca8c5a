"""The product of entries, whose derivative is the product of the others: right also where entries are zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast as typing_cast

from dsl.nodes import Apply, Node, apply
from dsl.ops.broadcasting import infer_sum, over_indices, reduction_arguments, reshape, restore, settings, total
from dsl.ops.contraction import permute
from dsl.ops.core import axes_of, mul, number, shape_of, where
from dsl.ops.elementwise import ew
from dsl.ops.making import arange
from dsl.ops.spec import ATOM, Op, Printer, Text
from dsl.types import ONE, product


def _emit_prod(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"{args[0].at(ATOM)}.prod({', '.join(reduction_arguments(node))})")


def _vjp_prod(node: Apply, g: Node) -> Sequence[Node | None]:
    axes, _ = settings(dict(node.attrs))
    return (mul(restore(g, node), apply(PROD_OTHERS, node.args[0], axes=axes)),)


PROD = Op("prod", infer_sum, _emit_prod, _vjp_prod, latex=over_indices(r"\prod"))


def _emit_prod_others(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    axes, shape = typing_cast("tuple[int, ...] | None", node.attr("axes")), node.args[0].type.shape
    where = "" if axes is None or shape is None or len(axes) == len(shape) else f", axis={axes[0] if len(axes) == 1 else axes}"
    return Text(f"_prod_others({args[0].text}{where})")


def _vjp_prod_others(node: Apply, g: Node) -> Sequence[Node | None]:
    """Each product of the others is one over a row of x with its own entry put to 1: O(n²), and right where entries are zero."""
    x = node.args[0]
    shape = shape_of(x)
    rank = len(shape)
    axes = axes_of(node.attr("axes"), rank)
    order = [i for i in range(rank) if i - rank not in axes] + [axis + rank for axis in axes]
    rest, count = tuple(shape[i] for i in order[: rank - len(axes)]), product(tuple(shape[i] for i in order[rank - len(axes) :]))
    row, cotangent = (reshape(permute(each, order), (*rest, count)) for each in (x, g))
    own = ew("equal", reshape(arange(count), (count, ONE)), arange(count))
    others = where(own, number(1.0), reshape(row, (*rest, ONE, count)))
    each = mul(reshape(cotangent, (*rest, count, ONE)), apply(PROD_OTHERS, others, axes=(-1,)))
    found = total(where(own, number(0.0), each), -2)
    return (permute(reshape(found, tuple(shape[i] for i in order)), [order.index(i) for i in range(rank)]),)


PROD_OTHERS = Op("prod_others", lambda types, attrs: replace(types[0], weak=False), _emit_prod_others, _vjp_prod_others)

OPS = (PROD, PROD_OTHERS)
