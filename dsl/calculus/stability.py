"""Formulas that overflow or cancel, and the forms that do not."""

from __future__ import annotations

from collections.abc import Callable

from dsl.calculus.logarithms import Logarithms, one, squared
from dsl.nodes import Apply, Node, applies, apply
from dsl.ops.broadcasting import reduced
from dsl.ops.core import axes_of, is_number
from dsl.ops.elementwise import ew
from dsl.ops.indexing import FULL
from dsl.ops.reduction import along, reduce
from dsl.types import ONE, Dim


def stable(node: Node, logs: Logarithms) -> Node:
    """The node in a form that is never less accurate: ``log(sum(exp(x)))`` as ``logsumexp(x)``. ``logs`` are those of its graph."""
    while True:
        rule = _RULES.get(node.op.name) if isinstance(node, Apply) else None
        new = logs.of(node.args[0]) if applies(node, "log") else rule(node) if rule is not None and isinstance(node, Apply) else None
        if new is None or not (new.type.matches(node.type) and new.type.dtype == node.type.dtype):
            return node
        node = new


def _subtract(node: Apply) -> Node | None:
    x, y = node.args
    if is_number(y, 1) and applies(x, "exp"):
        return ew("expm1", x.args[0])
    return ew("negative", ew("expm1", y.args[0])) if is_number(x, 1) and applies(y, "exp") else None


def complement(node: Node) -> Node | None:
    """``sigmoid(-x)``, where the node is ``1 - sigmoid(x)``."""
    rest = one(node, "subtract")
    return ew("sigmoid", ew("negative", rest.args[0])) if rest is not None and applies(rest, "sigmoid", "expit") else None


def _where(node: Apply) -> Node | None:
    """A choice of two values of one function as the function of a choice: it is not computed where it is not taken."""
    condition, taken, other = node.args
    if not (isinstance(taken, Apply) and isinstance(other, Apply) and taken.op is other.op and taken.type == other.type):
        return None
    if applies(taken, "negative"):
        inner = ew("where", condition, taken.args[0], other.args[0])
        found = _where(inner) if isinstance(inner, Apply) else None
        return None if found is None else ew("negative", found)
    return ew(taken.op.name, ew("where", condition, taken.args[0], other.args[0])) if taken.op.name in _CHOSEN else None


# functions of one argument that take long
_CHOSEN = ("exp", "log", "log1p", "expm1", "sigmoid", "log_sigmoid", "softplus", "tanh", "erf", "gammaln")


def _divide(node: Apply) -> Node | None:
    """A logistic function or a softmax, as it is written where there is none."""
    top, bottom = node.args
    rest = one(bottom, "add")
    if rest is not None and applies(rest, "exp"):
        if top is rest:
            return ew("sigmoid", rest.args[0])
        logistic = ew("sigmoid", minus(rest.args[0]))
        return logistic if is_number(top, 1) else ew("multiply", top, logistic)
    total = _bare(bottom)
    if not (applies(top, "exp") and isinstance(total, Apply) and total.op.name == "sum" and total.args[0] is top and top.type.shape):
        return None
    axes = _axes(total)
    kept = reduced(top.type.shape, axes, keepdims=True) or ()
    fits = len(axes) == len(top.type.shape) or bottom.type.known == kept[-len(bottom.type.known) :]
    return along("softmax", top.args[0], axes[0] if len(axes) == 1 else axes) if fits else None


def minus(x: Node) -> Node:
    """-x, and x of -x."""
    return x.args[0] if applies(x, "negative") else ew("negative", x)


def _axes(node: Apply) -> tuple[int, ...]:
    return axes_of(node.attr("axes"), len(node.args[0].type.known))


def _bare(node: Node) -> Node:
    """What a node is but for axes of one entry."""
    while isinstance(node, Apply) and node.op.name in ("index", "reshape") and len(node.args) == 1 and _long(node) == _long(node.args[0]):
        if node.op.name == "index" and not all(item == FULL or item[0] == "newaxis" for item in _items(node)):
            break
        node = node.args[0]
    return node


def _items(node: Apply) -> tuple[tuple[object, ...], ...]:
    items = node.attr("items")
    assert isinstance(items, tuple)
    return items


def _long(node: Node) -> list[Dim] | None:
    return None if node.type.shape is None else [dim for dim in node.type.shape if dim != ONE]


def _softmax(node: Apply) -> Node | None:
    """What is taken away from all entries alike, so that exponentials do not overflow, is taken away by the function itself."""
    unshifted = _unshifted(node.args[0], axes_of(node.attr("axis"), len(node.args[0].type.known)))
    return None if unshifted is None else apply(node.op, unshifted[0], **dict(node.attrs))


def _add(node: Apply) -> Node | None:
    """``logsumexp(x - m) + m`` as ``logsumexp(x)``."""
    for log, back in (node.args, node.args[::-1]):
        if isinstance(log, Apply) and log.op.name == "logsumexp" and log.type == node.type:
            unshifted = _unshifted(log.args[0], _axes(log))
            if unshifted is not None and _same(unshifted[1], back):
                return apply(log.op, unshifted[0], **dict(log.attrs))
    return None


def _unshifted(node: Node, axes: tuple[int, ...]) -> tuple[Node, Node] | None:
    """What something that is the same along these axes is taken away from, and that."""
    if not (applies(node, "subtract") and node.args[0].type == node.type and node.type.shape):
        return None
    x, shift = node.args
    kept = reduced(x.type.shape, axes, keepdims=True) or ()
    while kept and kept[0] == ONE and len(kept) > len(shift.type.shape or ()):
        kept = kept[1:]
    return (x, shift) if shift.type.shape in ((), kept) else None


def _same(one: Node, other: Node) -> bool:
    """Whether two nodes are equal but for axes of one entry, those that a maximum keeps among them."""
    one, other = _bare(one), _bare(other)
    if one is other:
        return True
    largest = [each for each in (one, other) if isinstance(each, Apply) and each.op.name == "max"]
    return len(largest) == 2 and one.args == other.args and _axes(largest[0]) == _axes(largest[1])


def _sqrt(node: Apply) -> Node | None:
    """The root of a square, or of a sum of squares, which may be 0."""
    (x,) = node.args
    base = squared(x.args[0] if applies(x, "sum") else x)
    if base is None:
        return None
    return reduce("norm", base, x.attr("axes"), bool(x.attr("keepdims"))) if applies(x, "sum") else ew("abs", base)


_RULES: dict[str, Callable[[Apply], Node | None]] = {
    "subtract": _subtract,
    "sqrt": _sqrt,
    "divide": _divide,
    "where": _where,
    "softmax": _softmax,
    "log_softmax": _softmax,
    "add": _add,
}
