"""Formulas that overflow or cancel, and the forms that do not."""

from __future__ import annotations

from collections.abc import Callable

from dsl.nodes import Apply, Const, Node, applies, apply
from dsl.ops.core import is_number
from dsl.ops.elementwise import ew
from dsl.ops.reduction import along, reduce

MOVES = ("index", "reshape", "broadcast_to", "spread", "flip")


def stable(node: Node) -> Node:
    """The node in a form that is never less accurate: ``log(sum(exp(x)))`` as ``logsumexp(x)``."""
    rule = _RULES.get(node.op.name) if isinstance(node, Apply) else None
    new = rule(node) if rule is not None and isinstance(node, Apply) else None
    return node if new is None or not (new.type.matches(node.type) and new.type.dtype == node.type.dtype) else new


def _one_plus(node: Node) -> Node | None:
    """x, where the node is 1 + x."""
    if not applies(node, "add"):
        return None
    x, y = node.args
    return y if is_number(x, 1) else x if is_number(y, 1) else None


def _one_minus(node: Node) -> Node | None:
    return node.args[1] if applies(node, "subtract") and is_number(node.args[0], 1) else None


def _log(node: Apply) -> Node | None:
    (x,) = node.args
    if isinstance(x, Apply) and x.op.name in MOVES and _logs_well(x):
        return apply(x.op, _log_of(x.args[0]), *x.args[1:], **dict(x.attrs))
    if applies(x, "exp"):
        return x.args[0]
    if isinstance(x, Apply) and x.op.name == "softmax":
        return along("log_softmax", x.args[0], x.attr("axis"))
    if isinstance(x, Apply) and x.op.name in ("sigmoid", "expit"):
        return ew("log_sigmoid", x.args[0])
    if isinstance(x, Apply) and x.op.name == "sum" and isinstance(x.args[0], Apply) and x.args[0].op.name == "exp":
        return reduce("logsumexp", x.args[0].args[0], x.attr("axes"), bool(x.attr("keepdims")))
    rest = _one_minus(x)
    if rest is not None and applies(rest, "sigmoid", "expit"):
        return ew("log_sigmoid", ew("negative", rest.args[0]))
    rest = _one_plus(x)
    if rest is None or isinstance(rest, Const):
        return None
    return ew("softplus", rest.args[0]) if applies(rest, "exp") else ew("log1p", rest)


def _logs_well(node: Apply) -> bool:
    """Whether what a chain of moves takes its entries from is a softmax or a sigmoid."""
    inner: Node = node
    while isinstance(inner, Apply) and inner.op.name in MOVES:
        inner = inner.args[0]
    return applies(inner, "softmax", "sigmoid", "expit")


def _log_of(x: Node) -> Node:
    log = ew("log", x)
    found = _log(log) if isinstance(log, Apply) and isinstance(x, Apply) else None
    return log if found is None else found


def _subtract(node: Apply) -> Node | None:
    x, y = node.args
    if is_number(y, 1) and applies(x, "exp"):
        return ew("expm1", x.args[0])
    return None


def complement(node: Node) -> Node | None:
    """``sigmoid(-x)``, where the node is ``1 - sigmoid(x)``."""
    rest = _one_minus(node)
    return ew("sigmoid", ew("negative", rest.args[0])) if rest is not None and applies(rest, "sigmoid", "expit") else None


def _sqrt(node: Apply) -> Node | None:
    (x,) = node.args
    if applies(x, "square") or (applies(x, "power") and is_number(x.args[1], 2)):
        return ew("abs", x.args[0])
    return ew("abs", x.args[0]) if applies(x, "multiply") and x.args[0] is x.args[1] else None


_RULES: dict[str, Callable[[Apply], Node | None]] = {"log": _log, "subtract": _subtract, "sqrt": _sqrt}
