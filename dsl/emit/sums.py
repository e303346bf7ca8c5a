"""Sums in the form that takes the least time: as products with ones, which BLAS adds up in a half to a tenth of NumPy's time, most where rows are
short, and sums of products by helpers that know when einsum pays. So with the largest entries of rows.

Before: ``x.sum(axis=-1)``, ``x.sum(axis=0)``, ``np.einsum("ij,ij->i", x, y)``, ``x.max(axis=-1)``. After: ``x.dot(_ones(K, dtype))``,
``_ones(N, dtype).dot(x)``, ``_dot_rows(x, y)``, ``_top(x, -1, None)[..., 0]``.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsl.nodes import Apply
from dsl.ops.broadcasting import SUM
from dsl.ops.contraction import EINSUM
from dsl.ops.core import axes_of
from dsl.ops.product_text import split_spec
from dsl.ops.spec import ATOM, PRODUCT, Printer, Text
from dsl.types import product


def as_sum(node: Apply, args: Sequence[Text], printer: Printer, threads: bool) -> Text | None:
    """A sum, a sum of products of two arrays' entries, or largest ones, where ``threads`` of ours may be at work or not; None for anything else."""
    if len(args) == 1:
        return _largest(node, args[0]) or _with_ones(node, args[0], printer)
    if node.op is not EINSUM or len(args) > 2 or any(arg.type.dtype != "float" for arg in node.args):
        return None
    (left, right), output = split_spec(str(node.attr("spec")))
    if left != right or len(set(left)) < len(left):
        return None
    if not output:
        return Text(f"_dot_all({args[0].text}, {args[1].text})") if threads else None
    if len(left) < 2:
        return None
    name = "_dot_rows" if output == left[:-1] else "_dot_columns" if output == left[1:] and len(left) == 2 else None
    return Text(f"{name}({args[0].text}, {args[1].text})") if name else None


def _largest(node: Apply, x: Text) -> Text | None:
    """The largest entries of rows of floats; None where a node is no such thing."""
    if node.op.name != "max" or node.attr("axes") != (-1,) or node.type.dtype != "float" or len(node.args[0].type.known) < 2:
        return None
    return Text(f"_top({x.text}, -1, None){'' if node.attr('keepdims') else '[..., 0]'}")


def _with_ones(node: Apply, x: Text, printer: Printer) -> Text | None:
    """The sum of floats along the last axis, the last but one, or all but the last; None where a node is no such sum."""
    axes, kept = _summed(node)
    of = node.args[0].type
    rank = len(of.shape or ())
    if not axes or of.dtype != "float" or rank < 2:
        return None
    ones = f"_ones({printer.dim(product(tuple(of.known[axis] for axis in axes)))}, {printer.dtype})"
    if axes == (-1,):
        text = Text(f"{x.at(ATOM)}.dot({ones})") if rank == 2 else Text(f"{x.at(PRODUCT)} @ {ones}", PRODUCT)
    elif axes == tuple(range(-rank, -1)):
        rows = x.text if rank == 2 else f"{x.at(ATOM)}.reshape({printer.dim(product(of.known[:-1]))}, {printer.dim(of.known[-1])})"
        text = Text(f"{ones}.dot({rows})")
    elif axes == (-2,):
        text = Text(f"{ones} @ {x.at(PRODUCT + 1)}", PRODUCT)
    else:
        return None
    where = ", ".join("None" if axis in axes else ":" for axis in range(-rank, 0)) if kept else ""
    return Text(f"{text.at(ATOM)}[{where.removesuffix(', :')}]") if kept else text


def _summed(node: Apply) -> tuple[tuple[int, ...], bool]:
    """The axes that a sum runs along, counted from the right and in order, and whether it keeps them."""
    if node.op is SUM and node.args[0].type.shape is not None:
        return tuple(sorted(axes_of(node.attr("axes"), len(node.args[0].type.shape)))), bool(node.attr("keepdims"))
    if node.op is EINSUM and len(node.args) == 1:
        (labels,), output = split_spec(str(node.attr("spec")))
        left = [label for label in labels if label in output]
        if len(set(labels)) == len(labels) and left == list(output):
            return tuple(i - len(labels) for i, label in enumerate(labels) if label not in output), False
    return (), False


__all__ = ["as_sum"]
