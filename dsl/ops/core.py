"""The structural primitives' shared vocabulary: axes counted from the right, and short constructors that rules are written in."""

from __future__ import annotations

from collections.abc import Iterable

from dsl.diagnostics import Code, Span
from dsl.nodes import Apply, Const, Input, Node, const
from dsl.ops.elementwise import ew
from dsl.types import Dim, Shape, ShapeError, TensorType


class Undecided(Exception):
    """Something about an undeclared name is needed and not known: the resolver decides it and starts again. ``span`` is where."""

    span: Span | None = None

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node


class NeedRank(Undecided):
    """The node's rank is needed; ``rank`` would do."""

    def __init__(self, node: Node, rank: int | None) -> None:
        super().__init__(node)
        self.rank = rank


class NeedInteger(Undecided):
    """The node is used as an index."""


def shape_of(node: Node, rank: int | None = None) -> Shape:
    """The shape of a node. Raises NeedRank, with the rank that would do, where it is not known."""
    if node.type.shape is None:
        raise NeedRank(node, rank)
    return node.type.shape


def integers(node: Node, what: str = "an index") -> Node:
    """A node that must hold integers. Raises NeedInteger for an argument that may still be declared so, else ShapeError."""
    if node.type.dtype == "float" and isinstance(node, Input):
        raise NeedInteger(node)
    if node.type.dtype != "int":
        help = QUOTIENT if is_quotient(node) else "declare it `int[…]`; a mask belongs into `where`"
        raise ShapeError(Code.E0307, f"{what} must be an integer, and this is {node.type.dtype}", help=help)
    return node


QUOTIENT = "`/` gives a float: write `//`"


def is_quotient(value: object) -> bool:
    return isinstance(value, Apply) and value.op.name == "divide"


def axis_of(axis: object, rank: int) -> int:
    """An axis counted from the right: -1 is the last. Raises ShapeError where there is none."""
    if not isinstance(axis, int) or isinstance(axis, bool):
        raise ShapeError(Code.E0204, f"an axis must be an integer, not {axis!r}")
    if not -rank <= axis < rank:
        allowed = "a scalar has no axes" if rank == 0 else f"axes are {-rank} to {rank - 1}"
        raise ShapeError(Code.E0303, f"axis {axis} is out of range: {allowed}", "{0}")
    return axis - rank if axis >= 0 else axis


def axes_of(axis: object, rank: int) -> tuple[int, ...]:
    """Several axes, sorted, counted from the right; None is all of them. Raises ShapeError for a repeated one."""
    if axis is None:
        return tuple(range(-rank, 0))
    each = tuple(axis_of(one, rank) for one in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(each)) < len(each):
        raise ShapeError(Code.E0303, "an axis is named twice", "{0}")
    return tuple(sorted(each))


def is_number(node: Node, value: float) -> bool:
    return isinstance(node, Const) and not isinstance(node.value, bool) and node.value == value


def add(x: Node, y: Node) -> Node:
    return ew("add", x, y)


def sub(x: Node, y: Node) -> Node:
    return ew("subtract", x, y)


def mul(x: Node, y: Node) -> Node:
    return ew("multiply", x, y)


def div(x: Node, y: Node) -> Node:
    return ew("divide", x, y)


def neg(x: Node) -> Node:
    return ew("negative", x)


def where(c: Node, x: Node, y: Node) -> Node:
    return ew("where", c, x, y)


def number(value: float | int) -> Node:
    return const(value)


def typed(like: TensorType, shape: Iterable[Dim] | None) -> TensorType:
    """The type of ``like`` with another shape; a result of arrays is never weak."""
    return TensorType(like.dtype, None if shape is None else tuple(shape))
