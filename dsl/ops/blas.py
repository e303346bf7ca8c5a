"""A contraction of two arrays as one batched matrix product, axes that always stand together made one: ``ocuv,acuvxy->aoxy``, a
convolution of windows, is ``(w.reshape(O, C * 9) @ windows.reshape(N, C * 9, H * W)).reshape(N, O, H, W)``. No operand is turned round
further than BLAS reads it anyway, so the only copy is that of a strided window view.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dsl.nodes import Apply
from dsl.ops.spec import ATOM, PRODUCT, Printer, Text
from dsl.types import Dim


class Plan(NamedTuple):
    """Labels of both operands as a matrix product takes them, whether they change places, and whether the first axis is summed after."""

    left: str
    right: str
    swapped: bool
    summed: bool


def fused_product(node: Apply, labels: Sequence[str], output: str, args: Sequence[Text], printer: Printer) -> Text | None:
    """The text of a contraction, where axes before the matrices are broadcast, summed, or stand beside fused ones; else None."""
    groups = _groups(labels[0], labels[1], output)
    heads = {label: group[0] for group in groups for label in group}
    left, right, out = ("".join(label for label in side if heads[label] == label) for side in (*labels, output))
    plan = _plan(left, right, out)
    lead = len(out) - 2
    if plan is None or not (plan.summed or (lead and (len(plan.left) != len(plan.right) or any(len(group) > 1 for group in groups)))):
        return None
    dims = {label: dim for side, arg in zip(labels, node.args, strict=True) for label, dim in zip(side, arg.type.known, strict=True)}
    sizes = {group[0]: tuple(dims[label] for label in group) for group in groups}
    sides = [_operand(text, full, fused, sizes, printer) for text, full, fused in zip(args, labels, (left, right), strict=True)]
    fused = [left, right]
    if plan.swapped:
        sides, fused = sides[::-1], fused[::-1]
    one, two = (_turned(text, have, want) for text, have, want in zip(sides, fused, (plan.left, plan.right), strict=True))
    product = Text(f"{one.at(PRODUCT)} @ {two.at(PRODUCT + 1)}", PRODUCT)
    if plan.summed:
        product = Text(f"{product.at(ATOM)}.sum(axis=0)")
    if out == output:
        return product
    return Text(f"{product.at(ATOM)}.reshape({', '.join(printer.dim(dims[label]) for label in output)})")


def _groups(left: str, right: str, output: str) -> list[str]:
    """Labels that stand side by side, in one order, in every operand that has one of them; those of all three stay alone."""
    groups: list[str] = []
    for label in dict.fromkeys(left + right):
        last = groups[-1][-1] if groups else ""
        beside = all((last in side) == (label in side) and (last + label in side or label not in side) for side in (left, right, output))
        if last and beside and not all(label in side for side in (left, right, output)):
            groups[-1] += label
        else:
            groups.append(label)
    return groups


def _plan(left: str, right: str, out: str) -> Plan | None:
    if any(len(set(side)) < len(side) for side in (left, right, out)) or len(out) < 2:
        return None
    summed = [label for label in left if label in right and label not in out]
    if set(left) ^ set(right) > set(out) or any(label not in out + "".join(summed) for label in left + right):
        return None
    over = bool(len(summed) == 2 and left[0] == right[0] == summed[0])
    if len(summed) != (2 if over else 1):
        return None
    row, column = out[-2], out[-1]
    swapped = row in right
    first, second = (right, left) if swapped else (left, right)
    if row in second or column in first or row not in first or column not in second:
        return None
    lead = (summed[0] if over else "") + out[:-2]
    before = ["".join(label for label in lead if label in side) for side in (first, second)]
    if not all(lead.endswith(each) for each in before):
        return None
    return Plan(before[0] + row + summed[-1], before[1] + summed[-1] + column, swapped, over)


def _operand(text: Text, full: str, fused: str, sizes: dict[str, tuple[Dim, ...]], printer: Printer) -> Text:
    """An operand with its groups made one axis each."""
    return text if len(full) == len(fused) else Text(f"{text.at(ATOM)}.reshape({', '.join(_size(sizes[label], printer) for label in fused)})")


def _size(dims: tuple[Dim, ...], printer: Printer) -> str:
    """A product of dimensions, its numbers multiplied out but its sums left as they are."""
    if len(dims) == 1:
        return printer.dim(dims[0])
    number = 1
    shown: list[str] = []
    for dim in dims:
        if dim.constant is not None:
            number *= dim.constant
        else:
            text = printer.dim(dim)
            shown.append(text if text.isidentifier() else f"({text})")
    return " * ".join(shown + [str(number)] * (number != 1 or not shown))


def _turned(text: Text, have: str, want: str) -> Text:
    if have == want:
        return text
    if have[:-2] == want[:-2]:
        return Text(f"{text.at(ATOM)}.T" if len(have) == 2 else f"{text.at(ATOM)}.swapaxes(-1, -2)")
    return Text(f"{text.at(ATOM)}.transpose({', '.join(str(have.index(label)) for label in want)})")
