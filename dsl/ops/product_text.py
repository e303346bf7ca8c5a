"""A contraction as NumPy text: ``@``, ``.T``, ``*``, ``.sum(axis=…)``, and only where none of these says it, ``np.einsum``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dsl.nodes import Apply
from dsl.ops.blas import fused_product
from dsl.ops.spec import ATOM, PRODUCT, Printer, Text
from dsl.types import product

_TURNED = re.compile(r"\.(?:T\b|swapaxes|transpose)")


def split_spec(spec: str) -> tuple[list[str], str]:
    """``"ij,jk->ik"`` as its operands' labels and its result's."""
    inputs, _, output = spec.partition("->")
    return inputs.split(","), output


def emit_product(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    spec = str(node.attr("spec"))
    labels, output = split_spec(spec)
    short: Text | None = None
    if len(args) == 1:
        short = _single(labels[0], output, args[0])
    elif len(args) == 2:
        short = fused_product(node, labels, output, args, printer) or _pair(labels, output, args)
    # more than two at once would be one loop over every label: NumPy may take them in pairs
    order = ", optimize=True" if len(args) > 2 else ""
    # which gives an array for a number too
    number = "[()]" if order and not output else ""
    return short or Text(f'np.einsum("{spec}", {", ".join(arg.text for arg in args)}{order}){number}')


# one operand ---------------------------------------------------------------------------------------------------------


def _transposed(text: Text, labels: str, wanted: str) -> Text:
    """An operand with its axes in the wanted order."""
    if labels == wanted:
        return text
    if labels[::-1] == wanted:
        return Text(f"{text.at(ATOM)}.T")
    if labels[:-2] == wanted[:-2] and labels[-2:] == wanted[:-3:-1]:
        return Text(f"{text.at(ATOM)}.swapaxes(-1, -2)")
    return Text(f"{text.at(ATOM)}.transpose({', '.join(str(labels.index(label)) for label in wanted)})")


def _single(labels: str, output: str, x: Text) -> Text | None:
    """Axes in another order, summed, or taken on their diagonal."""
    repeated = [label for label in dict.fromkeys(labels) if labels.count(label) > 1]
    if not repeated:
        kept = "".join(label for label in labels if label in output)
        axes = [i for i, label in enumerate(labels) if label not in output]
        if axes:
            where = str(axes[0]) if len(axes) == 1 else str(tuple(axes))
            x = Text(f"{x.at(ATOM)}.sum({'axis=' + where if kept else ''})")
        return _transposed(x, kept, output)
    twice = repeated[0]
    rest = labels.replace(twice, "")
    if len(repeated) > 1 or labels.count(twice) > 2 or sorted(rest) != sorted(output.replace(twice, "")):
        return None
    name, made = ("diagonal", rest + twice) if twice in output else ("trace", rest)
    axes = [i for i, label in enumerate(labels) if label == twice]
    where = "" if axes == [0, 1] else f", axis1={axes[0]}, axis2={axes[1]}"
    return _transposed(Text(f"np.{name}({x.text}{where})"), made, output)


# two operands --------------------------------------------------------------------------------------------------------


def _pair(labels: list[str], output: str, args: Sequence[Text]) -> Text | None:
    (left, right), (x, y) = labels, args
    if len(set(left)) < len(left) or len(set(right)) < len(right):
        return None
    orders = (left, right, output, x, y), (right, left, output, y, x)
    return (
        _fewest_turns(*(form(*order) for form in (_as_matmul, _as_turned) for order in orders))
        or _as_outer(left, right, output, x, y)
        or _as_sum(left, right, output, x, y)
        or _as_rows(left, right, output, x, y)
        or _as_rows(right, left, output, y, x)
        or _fewest_turns(*(_as_vectors(*order) for order in orders))
        or _as_tensordot(left, right, output, x, y)
        or _fewest_turns(*(_as_stacks(*order) for order in orders))
        or _as_sum_of_stacks(left, right, output, x, y)
    )


def _fewest_turns(*texts: Text | None) -> Text | None:
    """The one that transposes least, the first of equals: ``A @ g`` rather than ``g @ A.T``."""
    return min(filter(None, texts), key=lambda text: len(_TURNED.findall(text.text)), default=None)


def as_dot(node: Apply, args: Sequence[Text], printer: Printer) -> Text | None:
    """``x.dot(y)`` of matrices and vectors, which takes less than half of the time that ``x @ y`` does to begin, and ``x[:, None] * y`` for their
    outer product; None where it is neither. Leading axes that are summed are one axis."""
    (left, right), output = split_spec(str(node.attr("spec")))
    for i, (wide, flat) in enumerate(((left, right), (right, left))):
        if len(wide) > 2 and len(set(wide)) == len(wide) and flat == wide[:-1] and output == wide[-1]:
            shape = node.args[i].type.known
            lead = printer.dim(product(shape[:-1]))
            return Text(f"{args[1 - i].at(ATOM)}.reshape({lead}).dot({args[i].at(ATOM)}.reshape({lead}, {printer.dim(shape[-1])}))")
    if len(left) > 2 and len(set(left + right)) == len(left) + 1 and left[:-1] == right[:-1] and output in (left[-1] + right[-1], right[-1] + left[-1]):
        lead = printer.dim(product(node.args[0].type.known[:-1]))
        one, two = (f"{arg.at(ATOM)}.reshape({lead}, {printer.dim(each.type.known[-1])})" for arg, each in zip(args, node.args, strict=True))
        return Text(f"{one}.T.dot({two})" if output[0] == left[-1] else f"{two}.T.dot({one})")
    for i, (wide, matrix) in enumerate(((left, right), (right, left))):
        rest = matrix.replace(wide[-1:], "")
        if len(wide) > 2 and len(rest) < 2 and len(matrix) == 1 + len(rest) and len(set(wide + rest)) == len(wide + rest) and output == wide[:-1] + rest:
            shape = node.args[i].type.known
            flat = f"{args[i].at(ATOM)}.reshape({printer.dim(product(shape[:-1]))}, {printer.dim(shape[-1])})"
            turned = _transposed(args[1 - i], matrix, wide[-1] + rest)
            return Text(f"{flat}.dot({turned.text}).reshape({', '.join(map(printer.dim, node.type.known))})")
    if any(len(set(side)) < len(side) or not 0 < len(side) < 3 for side in (left, right)):
        return None
    if len(left) == len(right) == 1 and output == left + right:
        return Text(f"{args[0].at(ATOM)}[:, None] * {args[1].at(PRODUCT + 1)}", PRODUCT)
    pairs = (_operands(left, right, output, *args), _operands(right, left, output, *reversed(args)))
    return _fewest_turns(*(Text(f"{pair[0].at(ATOM)}.dot({pair[1].text})") if pair else None for pair in pairs))


def _common(left: str, right: str, output: str) -> tuple[list[str], list[str]]:
    """The labels that both operands have: those that are summed, and those that the result keeps."""
    return [label for label in left if label in right and label not in output], [label for label in output if label in left and label in right]


def _as_matmul(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """``x @ y``, either transposed as need be, over leading axes that both have."""
    pair = _operands(left, right, output, x, y)
    return pair and Text(f"{pair[0].at(PRODUCT)} @ {pair[1].at(PRODUCT + 1)}", PRODUCT)


def _operands(left: str, right: str, output: str, x: Text, y: Text) -> tuple[Text, Text] | None:
    """What stands on both sides of a matrix product, turned as it takes them; None where it is none."""
    summed, batch = _common(left, right, output)
    rows = [label for label in output if label in left and label not in right]
    columns = [label for label in output if label in right and label not in left]
    if len(summed) != 1 or len(rows) > 1 or len(columns) > 1 or (batch and not (rows and columns)):
        return None
    if output != "".join(batch + rows + columns) or len(left) != len(batch + rows) + 1 or len(right) != len(batch + columns) + 1:
        return None
    return _transposed(x, left, "".join(batch + rows + summed)), _transposed(y, right, "".join(batch + summed + columns))


def _as_outer(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """``x * d[:, None]``: nothing is summed, so that plain broadcasting multiplies what is aligned."""
    if set(left) | set(right) != set(output):
        return None
    if len(left) == len(right) == 1 and output == left + right:
        return Text(f"np.outer({x.text}, {y.text})")
    return Text(f"{_aligned(x, left, output).at(PRODUCT)} * {_aligned(y, right, output).at(PRODUCT + 1)}", PRODUCT)


def _aligned(text: Text, labels: str, output: str) -> Text:
    """An operand with its axes where the result has them."""
    wanted = "".join(label for label in output if label in labels)
    text = _transposed(text, labels, wanted)
    index = [":" if label in labels else "None" for label in output[output.index(wanted[0]) :]] if wanted else []
    if "None" not in index:
        return text
    while index[-1] == ":":
        index.pop()
    return Text(f"{text.at(ATOM)}[{', '.join(index)}]")


def _as_sum(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """The sum of products of all entries, or along the last axis of two matrices. For another axis, or for axes in another order in memory,
    as a product of stacks leaves them, einsum is up to three times faster; it is always faster than a product and its sum."""
    if left != right or (output and (output != left[:-1] or len(left) > 2)):
        return None
    return Text(f"np.{'vecdot' if output else 'vdot'}({x.text}, {y.text})")


def _as_rows(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """``x @ W``: the last axis of x, whatever stands before it, by a matrix or a vector."""
    shared = [label for label in right if label in left]
    if len(right) > 2 or len(shared) != 1 or shared[0] in output or len(left) < 3:
        return None
    (inner,) = shared
    outer = right.replace(inner, "")
    if left[-2] == inner:
        left, x = left[:-2] + left[-1] + inner, Text(f"{x.at(ATOM)}.swapaxes(-1, -2)")
    if left[-1] != inner or output != left[:-1] + outer:
        return None
    return Text(f"{x.at(PRODUCT)} @ {_transposed(y, right, inner + outer).at(PRODUCT + 1)}", PRODUCT)


def _as_vectors(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """``(A @ v[:, :, None])[:, :, 0]`` or ``(v[:, None] @ A)[:, 0]``: a matrix by a vector for each index of a batch."""
    batch, inner = right[:-1], right[-1:]
    row = "".join(label for label in left if label not in right)
    if not batch or len(row) != 1 or inner in output or output != batch + row or len(left) != len(right) + 1:
        return None
    colons = ":, " * len(batch)
    if left == batch + inner + row:
        return Text(f"({y.at(ATOM)}[{colons}None] @ {x.at(PRODUCT + 1)})[{colons}0]")
    return Text(f"({_transposed(x, left, batch + row + inner).at(PRODUCT)} @ {y.at(ATOM)}[{colons}:, None])[{colons}:, 0]")


def _as_turned(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """``(x @ y).T``: a product, its axes put in order after."""
    made = "".join([*(label for label in left if label in output), *(label for label in right if label in output and label not in left)])
    product = _as_matmul(left, right, made, x, y)
    return product and _transposed(product, made, output)


def _as_stacks(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """``(x.transpose(1, 2, 0, 3) @ W).transpose(2, 0, 1, 3)``: matrix products over axes that both have, and over more of x that broadcast, as those of
    a batch where every head has its matrix. The first axis of x, which is usually the longest, is that of the rows."""
    summed, batch = _common(left, right, output)
    row, *more = [label for label in left if label not in right] or [""]
    columns = [label for label in right if label not in left]
    if len(summed) != 1 or len(columns) != 1 or not (batch and more) or not {*more, row, *columns} <= set(output):
        return None
    made = "".join([*more, *batch, row, *columns])
    stack, each = _transposed(x, left, made[:-1] + summed[0]), _transposed(y, right, "".join([*batch, *summed, *columns]))
    return _transposed(Text(f"{stack.at(PRODUCT)} @ {each.at(PRODUCT + 1)}", PRODUCT), made, output)


def _as_sum_of_stacks(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """``(A @ V).sum(axis=1)``: matrix products over axes that both have, of which one is summed then, as the heads of an attention are."""
    summed, batch = _common(left, right, output)
    if len(summed) != 2 or not batch:
        return None
    for label in summed:
        made = "".join([*batch, label, *(each for each in output if each not in batch)])
        if product := _as_matmul(left, right, made, x, y) or _as_matmul(right, left, made, y, x):
            return _transposed(Text(f"({product.text}).sum(axis={len(batch)})"), made.replace(label, ""), output)
    return None


def _as_tensordot(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """Several axes summed at once, none kept from both sides: one matrix product of NumPy's own making."""
    summed, batch = _common(left, right, output)
    if not output or not summed or batch:
        return None
    if any(label not in output + "".join(summed) for label in left + right):
        return None
    free = ["".join(label for label in side if label in output) for side in (left, right)]
    if output == free[1] + free[0]:
        left, right, x, y = right, left, y, x
        free.reverse()
    axes = tuple(left.index(label) for label in summed), tuple(right.index(label) for label in summed)
    return _transposed(Text(f"np.tensordot({x.text}, {y.text}, axes={axes})"), "".join(free), output)
