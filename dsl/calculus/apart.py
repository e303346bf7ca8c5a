"""Every row beside every row: where rows and columns are one dimension, the rows get one of their own, so that they can be gone through in blocks.

Before: ``softmax(Q @ K.T) @ V`` by way of [T, T]. After: the same by way of ['rows'(T), T], of a Q that has the same rows under that name. What has such
rows keeps them from step to step, until they are added up or are needed all at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dsl.calculus.rows import ALONG, JOINED, goes_along
from dsl.nodes import Apply, Node, Program, applies, apply, remapped, topological
from dsl.ops.broadcasting import RENAMED, reshape
from dsl.ops.contraction import EINSUM, split_spec
from dsl.ops.elementwise import cast, ew
from dsl.ops.making import arange, eye
from dsl.types import ONE, Dim, Shape, ShapeError

# an entry of each row of a matrix, or of its diagonal
_ENTRIES = (("array", 0), ("array", 1))
# the rows of a dimension that has a name; those of a loop's blocks have a number
_ROWS = re.compile(r"'rows'\((?!\d)(.+)\)")


class _Inseparable(Exception):
    """Rows and columns cannot be told apart."""


def apart(program: Program, dim: Dim) -> tuple[Program, Dim] | None:
    """The program with the rows told from the columns of arrays that have as many of both, as they may be already, and the rows' dimension; None where
    that cannot be, or where there is no such array."""
    order = topological(program.roots)
    known = (node.type.known[int(str(node.attr("axis")))] for node in order if applies(node, "renamed"))
    if (rows := next((each for each in known if each != dim and usual(each) == dim), None)) is not None:
        return program, rows
    if dim.single is None or not any(_is_square(node, dim) and _begins(node) for node in order):
        return None
    rows = Dim.symbol(f"'rows'({dim})")  # as reading.py reads it
    work = _Work(dim, rows)
    try:
        for node in order:
            work.mapped[node] = work.take(node)
        ends = {root: work.whole(work.mapped[root]) for root in program.roots}
    except (_Inseparable, ShapeError):
        return None
    return remapped(program, {**work.mapped, **ends}), rows


def usual(dim: Dim) -> Dim:
    """A dimension under the names that the user has for it."""
    named = {symbol: match[1] for symbol in dim.symbols() if (match := _ROWS.fullmatch(symbol.name))}
    return dim.substitute({symbol: Dim.symbol(name, flexible=not name.isidentifier()) for symbol, name in named.items()})


def _is_square(node: Node, dim: Dim) -> bool:
    return (node.type.shape or ()).count(dim) == 2


def _begins(node: Node) -> bool:
    """Whether a step puts rows beside rows that were not before."""
    return isinstance(node, Apply) and (node.op.elementwise or node.op is EINSUM) and len(node.args) > 1


def _same_axis(old: Shape, new: Shape, axis: int) -> int | None:
    """Where an axis of an array is, counted from the right, in another shape that has more or fewer axes of size 1."""
    before, after = ([i - len(shape) for i, dim in enumerate(shape) if dim != ONE] for shape in (old, new))
    return after[before.index(axis)] if len(before) == len(after) else None


class _Work:
    """What each node has become."""

    def __init__(self, dim: Dim, rows: Dim) -> None:
        self.dim, self.rows = dim, rows
        self.mapped: dict[Node, Node] = {}

    def take(self, node: Node) -> Node:
        """A node upon what its arguments have become. Raises _Inseparable."""
        if not isinstance(node, Apply):
            return node
        args = [self.mapped[arg] for arg in node.args]
        made = self._in_rows(node, args) if self._has_rows(node, args) else None
        if made is None:
            return apply(node.op, *map(self.whole, args), **dict(node.attrs))
        if made.type.known.count(self.rows) > 1 or (_is_square(node, self.dim) and self.axis(made) is None):
            raise _Inseparable
        return made

    def _has_rows(self, node: Apply, args: Sequence[Node]) -> bool:
        """Whether a step is given such rows, or is the first to have them."""
        if any(each.type.shape is None for each in (node, *args)):
            return False
        begins = _is_square(node, self.dim) and (_begins(node) or (applies(node, "scatter") and self._by_rows(node)))
        return begins or any(self.axis(arg) is not None for arg in args)

    def axis(self, node: Node) -> int | None:
        """Where an array has such rows, counted from the right."""
        shape = node.type.shape or ()
        return shape.index(self.rows) - len(shape) if self.rows in shape else None

    def rowed(self, node: Node, axis: int) -> Node:
        """An array with such rows along an axis, where it has as many there."""
        shape = node.type.known
        if self.axis(node) not in (None, axis):
            raise _Inseparable
        if -axis > len(shape) or shape[axis] != self.dim:
            return node
        if applies(node, "broadcast_to") and not (-axis <= len(node.args[0].type.known) and node.args[0].type.known[axis] == self.dim):
            return self._again(node, node.args, axis)
        if applies(node, "reshape") and (place := _same_axis(node.type.known, node.args[0].type.known, axis)) is not None:
            return self._again(node, [self.rowed(node.args[0], place)], axis)
        if node is eye(self.dim):
            mine = reshape(self.rowed(arange(self.dim), -1), (self.rows, ONE) if axis == -2 else (self.rows,))
            other = arange(self.dim) if axis == -2 else reshape(arange(self.dim), (self.dim, ONE))
            return cast(ew("equal", mine, other), "float")
        return apply(RENAMED, node, axis=axis, dim=self.rows)

    def whole(self, node: Node) -> Node:
        """An array with its rows under their old name. One of rows beside rows would be as large as it was."""
        axis = self.axis(node)
        if axis is None:
            return node
        if self.dim in node.type.known:
            raise _Inseparable
        return apply(RENAMED, node, axis=axis, dim=self.dim)

    def _in_rows(self, node: Apply, args: Sequence[Node]) -> Node | None:
        """A step on such rows; None for one that needs them all at once."""
        if node.op is EINSUM:
            return self._einsum(node, args)
        found = {axis for arg in args if (axis := self.axis(arg)) is not None}
        if node.op.elementwise or node.op.alias or node.op.name == "broadcast_to":
            shape = node.type.known
            axis = found.pop() if found else shape.index(self.dim) - len(shape)
            return None if found else self._again(node, [self.rowed(arg, axis) for arg in args], axis)
        if node.op.name == "reshape":
            return self._reshaped(node, args[0])
        if node.op.name in ALONG or node.op.name == "part":
            (axis,) = found
            return self._along(node, args[0], axis)
        if node.op.name == "softmax_and_picked":
            return apply(node.op, args[0], self.rowed(args[1], -1), axis=-1) if found == {-2} and node.attr("axis") == -1 else None
        return self._by_places(node, args)

    def _again(self, node: Apply, args: Sequence[Node], axis: int) -> Node:
        """A step again, with the rows along an axis where it says a shape."""
        attrs = dict(node.attrs)
        if isinstance(shape := attrs.get("shape"), tuple):
            attrs["shape"] = tuple(self.rows if i - len(shape) == axis and dim == self.dim else dim for i, dim in enumerate(shape))
        return apply(node.op, *args, **attrs)

    def _einsum(self, node: Apply, args: Sequence[Node]) -> Node:
        """A product: the label of the rows that come first, or, where there are none, of those of its own that do."""
        terms, output = split_spec(str(node.attr("spec")))
        labels = [term[axis] for term, arg in zip(terms, args, strict=True) if (axis := self.axis(arg)) is not None]
        label = labels[0] if labels else output[node.type.known.index(self.dim)]
        given: list[Node] = []
        for term, arg in zip(terms, args, strict=True):
            if term.count(label) > 1:
                raise _Inseparable
            own = self.axis(arg)
            arg = self.whole(arg) if own is not None and term[own] != label else arg
            given.append(self.rowed(arg, term.index(label) - len(term)) if label in term else arg)
        return apply(EINSUM, *given, spec=node.attr("spec"))

    def _along(self, node: Apply, x: Node, axis: int) -> Node | None:
        """A step along some axes: of the rows' own only one that what blocks give can be joined to."""
        if node.op.name == "part":
            return self._again(node, [x], axis if len(node.type.known) == len(x.type.known) else -1)
        joined = not goes_along(node, (axis,)) or node.op.name in ("sum", "mean", *JOINED)
        return apply(node.op, x, **dict(node.attrs)) if joined else None

    def _reshaped(self, node: Apply, x: Node) -> Node | None:
        """Only axes of size 1 come or go."""
        axis = self.axis(x)
        place = None if axis is None else _same_axis(x.type.known, node.type.known, axis)
        return None if place is None else self._again(node, [x], place)

    def _by_rows(self, node: Apply) -> bool:
        """Whether an index or what puts something has a place in each row."""
        return applies(node, "index", "scatter") and node.attr("items") == _ENTRIES and node.args[1] is arange(self.dim)

    def _by_places(self, node: Apply, args: Sequence[Node]) -> Node | None:
        """An entry of each row is picked, or put there, where an array says."""
        if not self._by_rows(node):
            return None
        x = self.rowed(args[0], -1) if node.op.name == "scatter" else args[0]
        if node.op.name == "index" and self.axis(x) != -2:
            return None
        return self._again(node, [x, arange(self.rows), self.rowed(args[2], -1)], -2)


__all__ = ["apart", "usual"]
