"""Products: one contraction underlies them all. Its labels are einsum's; only at emission does it become ``@``, ``.T`` or ``*``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_letters

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply
from dsl.ops.blas import fused_product
from dsl.ops.core import shape_of
from dsl.ops.shaping import broadcast_to
from dsl.ops.spec import ATOM, PRODUCT, Op, Printer, Text
from dsl.types import ONE, Dim, Shape, ShapeError, TensorType, same


def split_spec(spec: str) -> tuple[list[str], str]:
    """``"ij,jk->ik"`` as its operands' labels and its result's."""
    inputs, _, output = spec.partition("->")
    return inputs.split(","), output


def _sizes(spec: str, types: tuple[TensorType, ...]) -> dict[str, Dim]:
    sizes: dict[str, Dim] = {}
    for i, (labels, each) in enumerate(zip(split_spec(spec)[0], types, strict=True)):
        if len(labels) != len(each.known):
            raise ShapeError(Code.E0302, f"`{labels}` names {len(labels)} axes of an array that has {len(each.known)}", f"{{{i}}} is {each}")
        for label, dim in zip(labels, each.known, strict=True):
            if label in sizes and not same(sizes[label], dim):
                shapes = ", ".join(f"{{{k}}} is {one}" for k, one in enumerate(types))
                raise ShapeError(Code.E0304, f"inner dimensions differ: {sizes[label]} and {dim}", shapes)
            sizes.setdefault(label, dim)
    return sizes


def _infer(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    spec = str(attrs["spec"])
    sizes = _sizes(spec, types)
    dtype = "float" if any(each.dtype == "float" for each in types) else "int"
    return TensorType(dtype, tuple(sizes[label] for label in split_spec(spec)[1]))


def _transposed(text: Text, labels: str, wanted: str) -> Text:
    """An operand with its axes in the wanted order."""
    if labels == wanted:
        return text
    if labels[::-1] == wanted:
        return Text(f"{text.at(ATOM)}.T")
    if labels[:-2] == wanted[:-2] and labels[-2:] == wanted[:-3:-1]:
        return Text(f"{text.at(ATOM)}.swapaxes(-1, -2)")
    return Text(f"{text.at(ATOM)}.transpose({', '.join(str(labels.index(label)) for label in wanted)})")


def _as_matmul(left: str, right: str, output: str) -> tuple[str, str] | None:
    """The orders of the operands' labels in which ``left @ right`` gives ``output``, if any does."""
    summed = [label for label in left if label in right and label not in output]
    batch = [label for label in output if label in left and label in right]
    rows = [label for label in output if label in left and label not in right]
    columns = [label for label in output if label in right and label not in left]
    if len(summed) != 1 or len(rows) > 1 or len(columns) > 1 or len(set(left)) < len(left) or len(set(right)) < len(right):
        return None
    if output != "".join(batch + rows + columns) or len(left) != len(batch + rows) + 1 or len(right) != len(batch + columns) + 1:
        return None
    if batch and not (rows and columns):
        return None
    return "".join(batch + rows + summed), "".join(batch + summed + columns)


def _emit_pair(labels: list[str], output: str, args: Sequence[Text]) -> Text | None:
    (left, right), (x, y) = labels, args
    orders = _as_matmul(left, right, output)
    if orders is not None:
        a, b = _transposed(x, left, orders[0]), _transposed(y, right, orders[1])
        return Text(f"{a.at(PRODUCT)} @ {b.at(PRODUCT + 1)}", PRODUCT)
    swapped = _as_matmul(right, left, output)
    if swapped is not None:
        a, b = _transposed(y, right, swapped[0]), _transposed(x, left, swapped[1])
        return Text(f"{a.at(PRODUCT)} @ {b.at(PRODUCT + 1)}", PRODUCT)
    if left == right == output:
        return Text(f"{x.at(PRODUCT)} * {y.at(PRODUCT + 1)}", PRODUCT)
    if len(left) == len(right) == 1 and output == left + right:
        return Text(f"np.outer({x.text}, {y.text})")
    if left == right and not output:
        return Text(f"np.vdot({x.text}, {y.text})")
    return _emit_rows(left, right, output, x, y) or _emit_rows(right, left, output, y, x) or _emit_scaled(left, right, output, x, y) or _emit_tensordot(left, right, output, x, y)


def _emit_rows(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """``x @ W``: the last axis of x, whatever stands before it, by a matrix."""
    shared = [label for label in right if label in left]
    if len(right) != 2 or len(shared) != 1 or shared[0] in output or len(left) < 3:
        return None
    (inner,) = shared
    outer = right.replace(inner, "")
    if left[-2] == inner:
        left, x = left[:-2] + left[-1] + inner, Text(f"{x.at(ATOM)}.swapaxes(-1, -2)")
    if left[-1] != inner or output != left[:-1] + outer:
        return None
    matrix = _transposed(y, right, inner + outer)
    return Text(f"{x.at(PRODUCT)} @ {matrix.at(PRODUCT + 1)}", PRODUCT)


def _emit_scaled(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """``x * d[:, None]``: nothing is summed, and the axes stand in the result's order."""
    if set(left) | set(right) != set(output) or any([label for label in output if label in side] != list(side) for side in (left, right)):
        return None

    def spread(text: Text, side: str) -> Text:
        shown = output[min(i for i, label in enumerate(output) if label in side) :] if side else ""
        if shown == side or not side:
            return text
        return Text(f"{text.at(ATOM)}[{', '.join(':' if label in side else 'None' for label in shown)}]")

    return Text(f"{spread(x, left).at(PRODUCT)} * {spread(y, right).at(PRODUCT + 1)}", PRODUCT)


def _emit_tensordot(left: str, right: str, output: str, x: Text, y: Text) -> Text | None:
    """Several axes summed at once, none kept from both sides: one matrix product of NumPy's own making."""
    summed = [label for label in left if label in right and label not in output]
    if not summed or any(label in left and label in right for label in output) or any(label not in output + "".join(summed) for label in left + right):
        return None
    free = ["".join(label for label in side if label in output) for side in (left, right)]
    if output == free[1] + free[0]:
        left, right, x, y = right, left, y, x
    elif output != free[0] + free[1]:
        return None
    axes = tuple(left.index(label) for label in summed), tuple(right.index(label) for label in summed)
    return Text(f"np.tensordot({x.text}, {y.text}, axes={axes})")


def _emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    spec = str(node.attr("spec"))
    labels, output = split_spec(spec)
    if len(args) == 1 and len(set(labels[0])) == len(labels[0]):
        if sorted(labels[0]) == sorted(output):
            return _transposed(args[0], labels[0], output)
        kept = "".join(label for label in labels[0] if label in output)
        axes = [i for i, label in enumerate(labels[0]) if label not in output]
        where = str(axes[0]) if len(axes) == 1 else str(tuple(axes))
        return _transposed(Text(f"{args[0].at(ATOM)}.sum({'axis=' + where if kept else ''})"), kept, output)
    if len(args) == 1 and labels[0] == "ii":
        return Text(f"np.trace({args[0].text})" if not output else f"np.diagonal({args[0].text})")
    pair = (fused_product(node, labels, output, args, printer) or _emit_pair(labels, output, args)) if len(args) == 2 else None
    if pair is not None:
        return pair
    return Text(f'np.einsum("{spec}", {", ".join(arg.text for arg in args)})')


def _vjp(node: Apply, g: Node) -> Sequence[Node | None]:
    labels, output = split_spec(str(node.attr("spec")))
    sizes = _sizes(str(node.attr("spec")), tuple(arg.type for arg in node.args))
    return [
        None if arg.type.dtype != "float" else _cotangent(i, node.args, labels, output, sizes, g) for i, arg in enumerate(node.args)
    ]


def _cotangent(i: int, args: Sequence[Node], labels: list[str], output: str, sizes: Mapping[str, Dim], g: Node) -> Node:
    """The cotangent of operand i: g contracted with the other operands, its lonely axes spread, its repeated ones put on a diagonal."""
    mine = labels[i]
    unique = "".join(dict.fromkeys(mine))
    others = [(one, arg) for k, (one, arg) in enumerate(zip(labels, args, strict=True)) if k != i]
    seen = set(output).union(*(one for one, _ in others))
    reached = "".join(label for label in unique if label in seen)
    grown = einsum(",".join([output, *(one for one, _ in others)]) + "->" + reached, g, *(arg for _, arg in others))
    if reached != unique:
        shape = tuple(sizes[label] if label in reached else ONE for label in unique)
        from dsl.ops.shaping import reshape

        grown = broadcast_to(reshape(grown, shape), tuple(sizes[label] for label in unique))
    if unique == mine:
        return grown
    return _on_diagonal(grown, unique, mine, sizes)


def _on_diagonal(x: Node, unique: str, mine: str, sizes: Mapping[str, Dim]) -> Node:
    """x spread over an array in which repeated labels must agree: multiplied by an identity for each repetition."""
    from dsl.ops.making import eye

    fresh = iter(label for label in ascii_letters if label not in mine)
    terms, operands, target = [unique], [x], ""
    for label in mine:
        if label not in target:
            target += label
            continue
        other = next(fresh)
        target += other
        terms.append(label + other)
        operands.append(eye(sizes[label]))
    return einsum(",".join(terms) + "->" + target, *operands)


EINSUM = Op("einsum", _infer, _emit, _vjp, linear=True)


def einsum(spec: str, *args: Node) -> Node:
    """A contraction with explicit labels. What is no contraction at all is the operand itself."""
    labels, output = split_spec(spec)
    if len(args) == 1 and labels[0] == output:
        return args[0]
    return apply(EINSUM, *args, spec=spec)


def matmul(x: Node, y: Node) -> Node:
    """NumPy's ``@``: vectors, matrices, and stacks of matrices that broadcast."""
    a, b = shape_of(x, 2), shape_of(y, 2)
    if not a or not b:
        raise ShapeError(Code.E0302, "`@` needs arrays, and one side is a scalar", "{0} is %s, {1} is %s" % (x.type, y.type), "write `*`")
    inner, other = a[-1], b[-2] if len(b) > 1 else b[0]
    if not same(inner, other):
        raise _inner_error(x, y, a, b, inner, other)
    batch = _batch_labels(a[:-2], b[:-2], x, y)
    rows, columns = "i" if len(a) > 1 else "", "k" if len(b) > 1 else ""
    left, right, out = batch
    x, left = _squeezed(x, left, a)
    y, right = _squeezed(y, right, b)
    return einsum(f"{left}{rows}j,{right}j{columns}->{out}{rows}{columns}", x, y)


def _inner_error(x: Node, y: Node, a: Shape, b: Shape, inner: Dim, other: Dim) -> ShapeError:
    help = ""
    if len(b) == 2 and b[-1] == inner:
        help = "did you mean `{0} @ {1}.T`?"
    elif len(a) == 2 and a[0] == other:
        help = "did you mean `{0}.T @ {1}`?"
    return ShapeError(
        Code.E0304, f"inner dimensions differ: {inner} and {other}", f"{{0}} is {x.type}, {{1}} is {y.type}", help or "declare both with one name"
    )


def _batch_labels(a: Shape, b: Shape, x: Node, y: Node) -> tuple[str, str, str]:
    """Labels for the leading axes of both operands and the result; an axis that is broadcast has the label ``*``."""
    names = [label for label in ascii_letters if label not in "ijk"]
    rank = max(len(a), len(b))
    out = "".join(names[:rank])
    left, right = list(out[rank - len(a) :]), list(out[rank - len(b) :])
    for i in range(1, min(len(a), len(b)) + 1):
        one, two = a[-i], b[-i]
        if one == ONE and two != ONE:
            left[-i] = "*"
        elif two == ONE and one != ONE:
            right[-i] = "*"
        elif not same(one, two):
            raise ShapeError(Code.E0301, f"leading dimensions differ: {one} and {two}", f"{{0}} is {x.type}, {{1}} is {y.type}")
    return "".join(left), "".join(right), out


def _squeezed(x: Node, labels: str, shape: Shape) -> tuple[Node, str]:
    """An operand without the size-1 axes that are broadcast."""
    if "*" not in labels:
        return x, labels
    from dsl.ops.shaping import reshape

    kept = tuple(dim for label, dim in zip(labels, shape, strict=False) if label != "*") + shape[len(labels) :]
    return reshape(x, kept), labels.replace("*", "")
