"""A contraction as mathematics writes it: ``X W``, ``X^\\top w``, and, where nothing shorter says it, a sum over indices."""

from __future__ import annotations

from collections.abc import Sequence

from dsl.nodes import Apply
from dsl.ops.product_text import split_spec
from dsl.ops.spec import ATOM, POWER, PRODUCT, UNARY, Printer, Text


def latex_product(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    """The product of one operand, two, or many."""
    labels, output = split_spec(str(node.attr("spec")))
    found = None
    if len(args) == 1:
        found = _single(labels[0], output, args[0])
    elif len(args) == 2:
        (left, right), (x, y) = labels, args
        found = _pair(left, right, output, x, y) or _pair(right, left, output, y, x)
    return found or _indexed(labels, output, args)


def transposed(text: Text) -> Text:
    return Text(rf"{{{text.at(ATOM)}}}^\top", POWER)


def _single(labels: str, output: str, x: Text) -> Text | None:
    if sorted(labels) == sorted(output) and len(set(labels)) == len(labels):
        # the last two axes change places; the axes before them are a batch
        return transposed(x) if len(labels) > 1 and labels[:-2] + labels[:-3:-1] == output else None
    if len(labels) == 2 and labels[0] == labels[1]:
        return Text(rf"\operatorname{{{'diag' if output else 'tr'}}}({x.text})")
    return None


def _pair(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """A product of matrices and vectors; axes before theirs that both, or one of them, have are a batch."""
    if len(set(left)) < len(left) or len(set(right)) < len(right):
        return None
    if left == right == output:
        return Text(rf"{x.at(PRODUCT)} \odot {_factor(y, PRODUCT)}", PRODUCT)
    if sorted(left) == sorted(right) and not output:
        return Text(rf"\langle {x.text}, {y.text} \rangle") if len(left) != 1 else Text(rf"{transposed(x).text} {_factor(y)}", UNARY)
    left, right, output = _unbatched(left, right, output)
    summed = [label for label in left if label in right and label not in output]
    rows = [label for label in left if label not in summed]
    columns = [label for label in right if label not in summed]
    if len(summed) > 1 or len(rows) > 1 or len(columns) > 1 or "".join(rows + columns) != output or len(left + right) == 0:
        return None
    if not summed:
        return Text(rf"{x.at(UNARY)} {transposed(y).text}", UNARY) if rows and columns else None
    one = x if left == "".join(rows + summed) and rows else transposed(x)
    two = y if right == "".join(summed + columns) else transposed(y)
    return Text(f"{one.at(UNARY)}{space(one, two)}{_factor(two)}", UNARY)


def _factor(text: Text, level: int = UNARY) -> str:
    """A factor behind another: a product of entries stands in brackets, and so does what begins with a sign."""
    return f"({text.text})" if text.text.startswith("-") else text.at(level)


def space(x: Text, y: Text) -> str:
    """Between two factors: words are kept apart."""
    return r" \, " if r"\mathit" in x.text + y.text else " "


def _unbatched(left: str, right: str, output: str) -> tuple[str, str, str]:
    """The labels without those of a batch: leading ones of the result that lead every operand that has them."""
    while len(output) > 1 and len(left) > 2:
        label = output[0]
        if left[0] != label or (label in right and (right[0] != label or len(right) == 1)):
            break
        left, output, right = left[1:], output[1:], right.removeprefix(label)
    return left, right, output


def _indexed(labels: Sequence[str], output: str, args: Sequence[Text]) -> Text:
    """``\\sum_{jk} X_{ij} Y_{jk}``, and which indices are left."""
    summed = "".join(dict.fromkeys(label for label in "".join(labels) if label not in output))
    factors = " ".join(f"{{{arg.at(ATOM)}}}_{{{term}}}" if term else arg.at(PRODUCT) for arg, term in zip(args, labels, strict=True))
    total = rf"\sum_{{{summed}}} {factors}" if summed else factors
    return Text(rf"\left[{total}\right]_{{{output}}}" if output else total, ATOM if output else PRODUCT)
