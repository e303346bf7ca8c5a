"""Products: one contraction underlies them all. Its labels are einsum's; only at emission does it become ``@``, ``.T`` or ``*``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_letters
from typing import TypeGuard
from typing import cast as typing_cast

from dsl.diagnostics import Code, counted
from dsl.nodes import Apply, Node, apply
from dsl.ops.broadcasting import broadcast_to, reshape
from dsl.ops.core import is_number, mul, number, shape_of
from dsl.ops.diagonals import DIAG
from dsl.ops.elementwise import Elementwise, cast, ew
from dsl.ops.making import eye
from dsl.ops.product_latex import latex_product
from dsl.ops.product_text import emit_product, split_spec
from dsl.ops.spec import ATOM, Op, Printer, Text, function
from dsl.types import ONE, Dim, Shape, ShapeError, TensorType, same

# types ---------------------------------------------------------------------------------------------------------------


def _sizes(spec: str, types: tuple[TensorType, ...]) -> dict[str, Dim]:
    sizes: dict[str, Dim] = {}
    for i, (labels, each) in enumerate(zip(split_spec(spec)[0], types, strict=True)):
        if len(labels) != len(each.known):
            message = f"`{labels}` names {counted(len(labels), 'axis', 'axes')} of an array that has {len(each.known)}"
            raise ShapeError(Code.E0302, message, f"{{{i}}} is {each}", "write one label for each axis")
        for label, dim in zip(labels, each.known, strict=True):
            if label in sizes and not same(sizes[label], dim):
                shapes = ", ".join(f"{{{k}}} is {one}" for k, one in enumerate(types))
                raise ShapeError(Code.E0304, f"inner dimensions differ: {sizes[label]} and {dim}", shapes)
            sizes.setdefault(label, dim)
    return sizes


def _infer(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    spec = str(attrs["spec"])
    sizes = _sizes(spec, types)
    dtype = "float" if any(each.dtype == "float" for each in types) else "int" if len(types) > 1 else types[0].dtype
    return TensorType(dtype, tuple(sizes[label] for label in split_spec(spec)[1]))


# derivative ----------------------------------------------------------------------------------------------------------


def _vjp(node: Apply, g: Node) -> Sequence[Node | None]:
    labels, output = split_spec(str(node.attr("spec")))
    sizes = _sizes(str(node.attr("spec")), tuple(arg.type for arg in node.args))
    return [None if arg.type.dtype != "float" else _cotangent(i, node.args, labels, output, sizes, g) for i, arg in enumerate(node.args)]


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
        grown = broadcast_to(reshape(grown, shape), tuple(sizes[label] for label in unique))
    return grown if unique == mine else embed(f"{unique}->{mine}", grown, tuple(sizes[label] for label in mine))


EINSUM = Op("einsum", _infer, emit_product, _vjp, linear=True, latex=latex_product)


def einsum(spec: str, *args: Node) -> Node:
    """A contraction with explicit labels. What is no contraction at all is the operand itself; booleans give whether any product holds."""
    labels, output = split_spec(spec)
    if len(args) == 1 and labels[0] == output and len(output) == len(shape_of(args[0], len(output))):
        return args[0]
    moved = len(args) == 1 and sorted(labels[0]) == sorted(output)
    if all(arg.type.dtype == "bool" for arg in args) and not moved:
        return ew("not_equal", einsum(spec, *(cast(arg, "int") for arg in args)), number(0))
    if any(arg.type.dtype == "float" for arg in args):
        args = tuple(arg if arg.type.weak else cast(arg, "float") for arg in args)
    return apply(EINSUM, *args, spec=spec)


def permute(x: Node, order: Sequence[int]) -> Node:
    """x with its axes in another order."""
    labels = ascii_letters[: len(order)]
    return einsum(f"{labels}->{''.join(labels[i] for i in order)}", x)


# several axes that run together ----------------------------------------------------------------------------------------


def _infer_embed(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType(types[0].dtype, typing_cast(Shape, attrs["shape"]))


def _emit_embed(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    """The view of what is not 0 has the axes that the values lack in front, so that these broadcast."""
    labels, output = str(node.attr("spec")).split("->")
    view = "".join(label for label in dict.fromkeys(output) if label not in labels) + labels
    # a Python number has no precision of its own
    values = f"{printer.dtype}.type({args[0].text})" if node.args[0].type.weak else args[0].text
    return Text(f'_on_diagonal({printer.shape(node)}, "{output}->{view}", {values})')


def _vjp_embed(node: Apply, g: Node) -> Sequence[Node | None]:
    labels, output = str(node.attr("spec")).split("->")
    return (einsum(f"{output}->{labels}", g),)


EMBED = Op("embed", _infer_embed, _emit_embed, _vjp_embed, linear=True, latex=r"\operatorname{diag}({0})")


def embed(spec: str, x: Node, shape: Shape) -> Node:
    """An array of a shape that is 0 but where axes of one label have one index: there it is x. ``"jl->ijil"``: x[j, l] at every [i, j, i, l]; axes
    of the result whose labels x lacks repeat it. One diagonal of a matrix is ``diag``, and where it is 1 ``eye``."""
    labels, output = spec.split("->")
    if len(output) == 2 and output[0] == output[1]:
        if labels == output[0]:
            return apply(DIAG, x, k=0)
        return eye(shape[0]) if is_number(x, 1) else mul(x, eye(shape[0]))
    return apply(EMBED, x, spec=spec, shape=shape)


def _emit_plus(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    """What has no name of its own and is no view of something is overwritten."""
    labels, output = str(node.attr("spec")).split("->")
    view = "".join(label for label in dict.fromkeys(output) if label not in labels) + labels
    x = args[0].text if not args[0].text.isidentifier() and _is_fresh(node.args[0]) else f"{args[0].at(ATOM)}.copy()"
    shown = "" if (view, output) == ("i", "ii") else f', "{output}->{view}"'
    return Text(f"_plus_diagonal({x}, {args[1].text}{shown})")


def _is_fresh(node: Node) -> bool:
    """Whether an operation makes an array of its own."""
    if not isinstance(node, Apply):
        return False
    return isinstance(node.op, Elementwise) or node.op.name in ("tril", "triu", "embed", "plus_diagonal") or (node.op is EINSUM and len(node.args) > 1)


def _vjp_plus(node: Apply, g: Node) -> Sequence[Node | None]:
    labels, output = str(node.attr("spec")).split("->")
    return g, einsum(f"{output}->{labels}", g)


PLUS_DIAGONAL = Op("plus_diagonal", lambda types, attrs: types[0], _emit_plus, _vjp_plus, linear=True, latex=r"{0} + \operatorname{diag}({1})")


def plus_diagonal(x: Node, spec: str, values: Node) -> Node:
    """``x + embed(spec, values)``, without an array of zeros. Last of all: no identity looks into it."""
    return apply(PLUS_DIAGONAL, x, values, spec="i->ii" if spec in ("a->aa", "i->ii") else spec)


# the functions -------------------------------------------------------------------------------------------------------


def matmul(x: Node, y: Node) -> Node:
    """NumPy's ``@``: vectors, matrices, and stacks of matrices that broadcast."""
    a, b = shape_of(x, 2), shape_of(y, 2)
    if not a or not b:
        raise ShapeError(Code.E0302, "`@` needs arrays, and one side is a scalar", f"{{0}} is {x.type}, {{1}} is {y.type}", "write `*`")
    inner, other = a[-1], b[-2] if len(b) > 1 else b[0]
    if not same(inner, other):
        raise _inner_error(x, y, a, b, inner, other)
    rows, columns = "i" if len(a) > 1 else "", "k" if len(b) > 1 else ""
    left, right, out = _batch_labels(a[:-2], b[:-2], x, y)
    return contract([left + rows + "j", right + "j" + columns], out + rows + columns, [x, y])


def _inner_error(x: Node, y: Node, a: Shape, b: Shape, inner: Dim, other: Dim) -> ShapeError:
    help = "declare both with one name"
    if len(b) == 2 and b[-1] == inner:
        help = "did you mean `{0} @ {1}.T`?"
    elif len(a) == 2 and a[0] == other:
        help = "did you mean `{0}.T @ {1}`?"
    return ShapeError(Code.E0304, f"inner dimensions differ: {inner} and {other}", f"{{0}} is {x.type}, {{1}} is {y.type}", help)


def _batch_labels(a: Shape, b: Shape, x: Node, y: Node) -> tuple[str, str, str]:
    """Labels for the leading axes of both operands and the result."""
    names = [label for label in ascii_letters if label not in "ijk"]
    for one, two in zip(reversed(a), reversed(b), strict=False):
        if ONE not in (one, two) and not same(one, two):
            raise ShapeError(Code.E0301, f"leading dimensions differ: {one} and {two}", f"{{0}} is {x.type}, {{1}} is {y.type}")
    out = "".join(names[: max(len(a), len(b))])
    return out[len(out) - len(a) :], out[len(out) - len(b) :], out


def contract(labels: Sequence[str], output: str, args: Sequence[Node]) -> Node:
    """A contraction in which an axis of size 1 broadcasts against the others of its label, as NumPy's einsum has it."""
    shapes = [shape_of(arg, len(term)) for term, arg in zip(labels, args, strict=True)]
    long = {label for term, shape in zip(labels, shapes, strict=True) for label, dim in zip(term, shape, strict=False) if dim != ONE}
    terms, operands = [], []
    for term, shape, arg in zip(labels, shapes, args, strict=True):
        kept = [not (dim == ONE and label in long) for label, dim in zip(term, shape, strict=False)]
        if len(term) == len(shape) and not all(kept):
            arg = reshape(arg, tuple(dim for dim, keep in zip(shape, kept, strict=True) if keep))
            term = "".join(label for label, keep in zip(term, kept, strict=True) if keep)
        terms.append(term)
        operands.append(arg)
    return einsum(f"{','.join(terms)}->{output}", *operands)


def _einsum(subscripts: str, operands: Sequence[Node], optimize: object) -> Node:
    """NumPy's einsum; ``optimize`` is accepted, for the compiler chooses the order itself."""
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands):
        given = f"{len(operands)} {'is' if len(operands) == 1 else 'are'} given"
        help = "write the labels of each operand, parted by commas"
        raise ShapeError(Code.E0204, f"`{subscripts}` names {counted(len(terms), 'operand')}, and {given}", help=help)
    if not all(label.isascii() and label.isalpha() for label in text.replace("...", "").replace(",", "").replace("->", "", 1)):
        raise ShapeError(Code.E0204, f"`{subscripts}` is not of the form `ij,jk->ik`", help="write one letter for each axis")
    named = [len(term.replace("...", "")) for term in terms]
    extra = [len(shape_of(x, count)) - count if "..." in term else 0 for term, count, x in zip(terms, named, operands, strict=True)]
    # an ellipsis stands for axes without labels: they get letters that the text does not use, aligned at the right
    spare = [label for label in ascii_letters if label not in text][: max([*extra, 0])]
    terms = [term.replace("...", "".join(spare[len(spare) - max(count, 0) :])) for term, count in zip(terms, extra, strict=True)]
    every = "".join(terms)
    if not arrow:
        output = "..." + "".join(sorted(label for label in set(every) if every.count(label) == 1 and label not in spare))
    output = output.replace("...", "".join(spare))
    for label in output:
        if label not in every or output.count(label) > 1:
            found = "stands twice in the result" if output.count(label) > 1 else "stands in the result and in no operand"
            raise ShapeError(Code.E0204, f"`{label}` of `{subscripts}` {found}", help="the result names labels of the operands, each once")
    return contract(terms, output, operands)


def is_turned(node: Node) -> TypeGuard[Apply]:
    """Whether an array is another with its axes in another order."""
    if not (isinstance(node, Apply) and node.op is EINSUM and len(node.args) == 1):
        return False
    (labels,), output = split_spec(str(node.attr("spec")))
    return sorted(labels) == sorted(output) and len(set(output)) == len(output)


OPS = (EINSUM, EMBED, PLUS_DIAGONAL)

FUNCTIONS = (
    function(
        "matmul(x1, x2, /)",
        "products",
        "x1 @ x2: vectors, matrices, and stacks of matrices that broadcast.",
        matmul,
        derivative="g @ x2.T and x1.T @ g",
        cases=(
            "x @ y | x: [3, 4]; y: [4, 2]",
            "matmul(x, y) | x: [4]; y: [4]",
            "x @ y | x: [4]; y: [4, 2]",
            "x @ y | x: [3, 4]; y: [4]",
            "x @ y | x: [B, 3, 4]; y: [B, 4, 2]",
            "x @ y | x: [2, 1, 3, 4]; y: [5, 4, 2]",
            "x @ y | x: [B, 3, 4]; y: [4]",
            "x @ y | x: [4]; y: [B, 4, 2]",
            "x @ y | x: [1, 3, 4]; y: [2, 4, 2]",
            "i @ x | i: int[2, 3] in 0:5; x: [3, 4]",
        ),
    ),
    function(
        "einsum(subscripts: text, *operands, optimize: static = False)",
        "products",
        "Einstein summation: labels that the result lacks are summed over; `...` stands for axes without labels.",
        _einsum,
        derivative="an einsum of g and the other operands",
        cases=(
            "einsum('ij,jk->ik', x, y) | x: [3, 4]; y: [4, 2]",
            "einsum('ij,jk', x, y) | x: [3, 4]; y: [4, 2]",
            "einsum('ij->ji', x)",
            "einsum('ij->j', x)",
            "einsum('ij->', x)",
            "einsum('ii->i', x) | x: [3, 3]",
            "einsum('ii', x) | x: [3, 3]",
            "einsum('ij,ij->i', x, y)",
            "einsum('ij,ij->j', x, y)",
            "einsum('ij,ji->', x, y) | x: [3, 4]; y: [4, 3]",
            "einsum('ij,i->ij', x, y) | x: [3, 4]; y: [3]",
            "einsum('i,jk->kij', x, y) | x: [2]; y: [3, 4]",
            "einsum('i,i,i->', x, y, z) | x: [4]; y: [4]; z: [4]",
            "einsum('ij,kj->ik', x, y) | x: [3, 4]; y: [2, 4]",
            "einsum('...ij,...jk->...ik', x, y) | x: [2, 3, 4]; y: [1, 4, 2]",
            "einsum('bii->b', x) | x: [2, 3, 3]",
            "einsum('bii->ib', x) | x: [2, 3, 3]",
            "einsum('iji->j', x) | x: [2, 3, 2]",
            "einsum('iii->i', x) | x: [3, 3, 3]",
            "einsum('ij,k->k', x, y) | x: [3, 4]; y: [2]",
        ),
    ),
)

__all__ = ["EINSUM", "EMBED", "FUNCTIONS", "OPS", "contract", "einsum", "embed", "is_turned", "matmul", "permute", "plus_diagonal", "split_spec"]
