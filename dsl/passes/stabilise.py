"""Formulas that overflow or cancel, written so that they do not.

Before: ``log(sum(exp(x)))``. After: ``logsumexp(x)``. Runs ahead of differentiation, so that derivatives come from the better form too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dsl.nodes import Apply, Const, Node, Program, Rewrite, apply, rebuild, remapped
from dsl.ops.core import is_number
from dsl.ops.elementwise import ew
from dsl.ops.reduction import along, reduce

_MOVES = ("index", "reshape", "broadcast_to", "spread", "flip")


def stabilise(program: Program) -> Program:
    """The same values, never less accurate. Each change is listed in ``rewrites``."""
    found: list[Rewrite] = []

    def change(node: Node) -> Node:
        rule = _RULES.get(node.op.name) if isinstance(node, Apply) else None
        if rule is None or not isinstance(node, Apply):
            return node
        new = rule(node)
        if new is None or not (new.type.matches(node.type) and new.type.dtype == node.type.dtype):
            return node
        found.append(Rewrite(program.lines.get(node), *_SAID[_applied(node, new)]))
        return new

    mapped = rebuild(program.every_root, change)
    return replace(remapped(program, mapped), rewrites=program.rewrites + tuple(found))


def _applied(node: Apply, new: Node) -> str:
    while isinstance(new, Apply) and new.op.name in (*_MOVES, "negative"):
        new = new.args[0]
    return new.op.name if isinstance(new, Apply) else node.op.name


_SAID = {
    "log_softmax": ("log(softmax(x))", "log_softmax(x)"),
    "log_sigmoid": ("log(sigmoid(x))", "log_sigmoid(x)"),
    "softplus": ("log(1 + exp(x))", "softplus(x)"),
    "logsumexp": ("log(sum(exp(x)))", "logsumexp(x)"),
    "log1p": ("log(1 + x)", "log1p(x)"),
    "expm1": ("exp(x) - 1", "expm1(x)"),
    "sigmoid": ("1 - sigmoid(x)", "sigmoid(-x)"),
    "abs": ("sqrt(x ** 2)", "abs(x)"),
}


def _is(node: Node, *names: str) -> bool:
    return isinstance(node, Apply) and node.op.name in names


def _one_plus(node: Node) -> Node | None:
    """x, where the node is 1 + x."""
    if not _is(node, "add"):
        return None
    x, y = node.args
    return y if is_number(x, 1) else x if is_number(y, 1) else None


def _one_minus(node: Node) -> Node | None:
    return node.args[1] if _is(node, "subtract") and is_number(node.args[0], 1) else None


def _log(node: Apply) -> Node | None:
    (x,) = node.args
    if isinstance(x, Apply) and x.op.name in _MOVES and _logs_well(x):
        return apply(x.op, _log_of(x.args[0]), *x.args[1:], **dict(x.attrs))
    if isinstance(x, Apply) and x.op.name == "softmax":
        return along("log_softmax", x.args[0], x.attr("axis"))
    if isinstance(x, Apply) and x.op.name in ("sigmoid", "expit"):
        return ew("log_sigmoid", x.args[0])
    if isinstance(x, Apply) and x.op.name == "sum" and isinstance(x.args[0], Apply) and x.args[0].op.name == "exp":
        return reduce("logsumexp", x.args[0].args[0], x.attr("axes"), bool(x.attr("keepdims")))
    rest = _one_minus(x)
    if rest is not None and _is(rest, "sigmoid", "expit"):
        return ew("log_sigmoid", ew("negative", rest.args[0]))
    rest = _one_plus(x)
    if rest is None or isinstance(rest, Const):
        return None
    return ew("softplus", rest.args[0]) if _is(rest, "exp") else ew("log1p", rest)


def _logs_well(node: Apply) -> bool:
    """Whether what a chain of moves takes its entries from is a softmax or a sigmoid."""
    inner: Node = node
    while isinstance(inner, Apply) and inner.op.name in _MOVES:
        inner = inner.args[0]
    return _is(inner, "softmax", "sigmoid", "expit")


def _log_of(x: Node) -> Node:
    log = ew("log", x)
    found = _log(log) if isinstance(log, Apply) and isinstance(x, Apply) else None
    return log if found is None else found


def _subtract(node: Apply) -> Node | None:
    x, y = node.args
    if is_number(y, 1) and _is(x, "exp"):
        return ew("expm1", x.args[0])
    if is_number(x, 1) and _is(y, "sigmoid", "expit"):
        return ew("sigmoid", ew("negative", y.args[0]))
    return None


def _sqrt(node: Apply) -> Node | None:
    (x,) = node.args
    if _is(x, "square") or (_is(x, "power") and is_number(x.args[1], 2)):
        return ew("abs", x.args[0])
    return ew("abs", x.args[0]) if _is(x, "multiply") and x.args[0] is x.args[1] else None


_RULES: dict[str, Callable[[Apply], Node | None]] = {"log": _log, "subtract": _subtract, "sqrt": _sqrt}
