"""Logarithms of what is made of exponentials: of their products as sums, of their sums as ``logsumexp``, so that none of them overflows or vanishes.

Before: ``log(softmax(x))``, ``log(exp(-z ** 2 / 2) / s)``, ``log(sum(p * exp(x)))`` where p is positive. After: ``log_softmax(x)``,
``-z ** 2 / 2 - log(s)``, ``logsumexp(log(p) + x)``.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple

from dsl.calculus.identities import rewritten
from dsl.nodes import Apply, Const, Input, Node, applies, apply, const, is_view, moved
from dsl.ops.contraction import split_spec
from dsl.ops.core import axes_of, is_number
from dsl.ops.elementwise import ew
from dsl.ops.making import size_of
from dsl.ops.reduction import along, reduce
from dsl.ops.shaping import reshape
from dsl.types import ONE


class Known(NamedTuple):
    """Whether a value is above 0 for certain, and its logarithm, where there is a better form than ``log`` of it. A product that may be below 0 has a
    ``part``, the logarithm of what of it is above 0 for certain, beside ``rest``."""

    positive: bool
    log: Node | None
    part: Node | None = None
    rest: Node | None = None


class Logarithms:
    """The logarithms of a graph's nodes, where some ``above`` 0 are known. What was looked at once is remembered."""

    def __init__(self, above: Container[Node] = ()) -> None:
        self.above = above
        self.known: dict[Node, Known] = {}

    def of(self, x: Node) -> Node | None:
        """The logarithm in a better form; None where there is none."""
        stack = [x]
        while stack:
            node = stack[-1]
            missing = [arg for arg in node.args if arg not in self.known] if is_view(node) or applies(node, *_LOOKED_INTO) else []
            if node not in self.known and not missing:
                self.known[node] = self._look(node)
            if missing:
                stack += missing
            else:
                stack.pop()
        found = self.known[x].log
        return _log1p(x) if found is None else found

    def _look(self, node: Node) -> Known:
        if not isinstance(node, Apply):
            return Known(node.value > 0 if isinstance(node, Const) else isinstance(node, Input) and node in self.above, None)
        rule = _move if is_view(node) else _RULES.get(node.op.name)
        return Known(False, None) if rule is None else rule(self, node)

    def positive(self, *nodes: Node) -> bool:
        return all(self.known[node].positive for node in nodes)

    def better(self, *nodes: Node) -> bool:
        """Whether the logarithm of any has a better form."""
        return any(self.known[node].log is not None for node in nodes)

    def log(self, node: Node) -> Node:
        found = self.known[node].log
        return found if found is not None else _log1p(node) or ew("log", node)


    def apart(self, node: Node) -> tuple[Node | None, Node | None]:
        """The logarithm of what of a value is above 0 for certain, and the rest."""
        known = self.known[node]
        if known.positive:
            return self.log(node), None
        return (None, node) if known.part is None else (known.part, known.rest)


Rule = Callable[[Logarithms, Apply], Known]


def one(node: Node, name: str) -> Node | None:
    """x, where a node is 1 + x, or 1 - x."""
    if not applies(node, name):
        return None
    x, y = node.args
    return y if is_number(x, 1) else x if is_number(y, 1) and name == "add" else None


def squared(node: Node) -> Node | None:
    """What a node is the square of."""
    if applies(node, "square") or (applies(node, "power") and is_number(node.args[1], 2)):
        return node.args[0]
    return node.args[0] if applies(node, "multiply") and node.args[0] is node.args[1] else None


def _log1p(node: Node) -> Node | None:
    """log(1 + x), and of 1 - x, which are inexact where x is small."""
    for name in ("add", "subtract"):
        rest = one(node, name)
        if rest is not None and not isinstance(rest, Const):
            return ew("log1p", rest if name == "add" else ew("negative", rest))
    return None


def _product(logs: Logarithms, node: Apply) -> Known:
    """The logarithms of factors add up where no more than one may be below 0; those that may stand together."""
    combined = "add" if node.op.name == "multiply" else "subtract"
    if not logs.better(*node.args):
        return Known(logs.positive(*node.args), None)
    if logs.positive(*node.args):
        return Known(True, ew(combined, *map(logs.log, node.args)))
    (part, rest), (other, beside) = map(logs.apart, node.args)
    both = None not in (rest, beside)
    part = _joined(combined, part, other)
    rest = _joined(node.op.name, rest, beside)
    if part is None or rest is None:
        return Known(False, None)
    return Known(False, ew("add", part, ew("log", rest)) if both else ew(combined, *map(logs.log, node.args)), part, rest)


def _joined(name: str, x: Node | None, y: Node | None) -> Node | None:
    """Two parts of a product, or of its logarithm, where there are two."""
    if x is None and y is not None and name in ("subtract", "divide"):
        return ew("negative", y) if name == "subtract" else ew("divide", const(1.0), y)
    return y if x is None else x if y is None else ew(name, x, y)


def _power(logs: Logarithms, node: Apply) -> Known:
    x, exponent = node.args
    positive = logs.positive(x)
    return Known(positive, ew("multiply", exponent, logs.log(x)) if positive and logs.better(x) else None)


def _sqrt(logs: Logarithms, node: Apply) -> Known:
    (x,) = node.args
    return Known(logs.positive(x), ew("divide", logs.log(x), const(2)) if logs.better(x) else None)


def _add(logs: Logarithms, node: Apply) -> Known:
    rest = one(node, "add")
    if rest is not None and applies(rest, "exp"):
        return Known(True, ew("softplus", rest.args[0]))
    if not logs.positive(*node.args):
        return Known(False, None)
    both = all(logs.better(arg) for arg in node.args)
    if not (both or any(logs.better(arg) and _is_open(arg) for arg in node.args)):
        return Known(True, None)
    return Known(True, ew("softplus", logs.log(rest)) if rest is not None else ew("logaddexp", *map(logs.log, node.args)))


def _is_open(node: Node) -> bool:
    """Whether an exponential, of what may be large, is in a value, so that it may be infinite where its logarithm is not."""
    stack = [node]
    while stack:
        each = stack.pop()
        if applies(each, "exp"):
            return True
        stack += each.args if is_view(each) or applies(each, *_LOOKED_INTO) else ()
    return False


def _subtract(logs: Logarithms, node: Apply) -> Known:
    """``1 - sigmoid(x)``, whose entries may have been moved about, and ``1 - tanh(x) ** 2``, which is ``cosh(x) ** -2``."""
    rest = one(node, "subtract")
    base = None if rest is None else squared(rest)
    if base is not None and applies(base, "tanh"):
        return Known(True, ew("negative", ew("multiply", const(2), ew("log_cosh", base.args[0]))))
    inner, moves = (None, []) if rest is None else unmoved(rest)
    if inner is None or not applies(inner, "sigmoid", "expit"):
        return Known(False, None)
    return Known(True, moved(ew("log_sigmoid", ew("negative", inner.args[0])), moves))


def _negative(logs: Logarithms, node: Apply) -> Known:
    """``1 - exp(-x)``, which is ``-expm1(-x)``."""
    (x,) = node.args
    return Known(False, ew("log1mexp", rewritten("negative", x.args[0])) if applies(x, "expm1") else None)


def unmoved(node: Node) -> tuple[Node, list[Apply]]:
    """What a chain of moves takes its entries from, and the moves, the last first."""
    moves: list[Apply] = []
    while is_view(node):
        moves.append(node)
        node = node.args[0]
    return node, moves


def _choice(logs: Logarithms, node: Apply) -> Known:
    condition, *sides = node.args
    better = all(logs.better(side) for side in sides)
    return Known(logs.positive(*sides), ew("where", condition, *map(logs.log, sides)) if better else None)


def _move(logs: Logarithms, node: Apply) -> Known:
    x = node.args[0]
    return Known(logs.positive(x), apply(node.op, logs.log(x), *node.args[1:], **dict(node.attrs)) if logs.better(x) else None)


def _sum(logs: Logarithms, node: Apply) -> Known:
    (x,) = node.args
    whole = logs.positive(x) and logs.better(x)
    log = reduce("logsumexp", logs.log(x), node.attr("axes"), bool(node.attr("keepdims"))) if whole else None
    if log is not None and node.op.name == "mean":
        log = ew("subtract", log, ew("log", size_of(x, None if x.type.shape is None else axes_of(node.attr("axes"), len(x.type.shape)))))
    return Known(logs.positive(x), log)


def _prod(logs: Logarithms, node: Apply) -> Known:
    (x,) = node.args
    whole = logs.positive(x) and logs.better(x)
    return Known(logs.positive(x), reduce("sum", logs.log(x), node.attr("axes"), bool(node.attr("keepdims"))) if whole else None)


def _einsum(logs: Logarithms, node: Apply) -> Known:
    """A sum of products that are no more than what one of them is: ``exp(x) @ p``."""
    positive = logs.positive(*node.args)
    labels, output = split_spec(str(node.attr("spec")))
    if len(labels) != 2 or not positive or not logs.better(*node.args):
        return Known(positive, None)
    (large, wide), (small, narrow) = sorted(zip(labels, node.args, strict=True), key=lambda each: -len(each[0]))
    ordered = [label for label in large if label in small] == list(small) and [label for label in large if label in output] == list(output)
    if not ordered or len(set(large)) < len(large) or not set(small) <= set(large) or len(output) == len(large):
        return Known(positive, None)
    shape = tuple(dim if label in small else ONE for label, dim in zip(large, wide.type.known, strict=True))
    log = ew("add", logs.log(wide), reshape(logs.log(narrow), shape))
    return Known(positive, reduce("logsumexp", log, tuple(i - len(large) for i, label in enumerate(large) if label not in output)))


_RULES: dict[str, Rule] = {
    "negative": _negative,
    "cosh": lambda logs, node: Known(True, ew("log_cosh", node.args[0])),
    "exp": lambda logs, node: Known(True, node.args[0]),
    **dict.fromkeys(("sigmoid", "expit"), lambda logs, node: Known(True, ew("log_sigmoid", node.args[0]))),
    "softmax": lambda logs, node: Known(True, along("log_softmax", node.args[0], node.attr("axis"))),
    "softplus": lambda logs, node: Known(True, None),
    **dict.fromkeys(("multiply", "divide"), _product),
    **dict.fromkeys(("sum", "mean"), _sum),
    "power": _power,
    "sqrt": _sqrt,
    "add": _add,
    "subtract": _subtract,
    "where": _choice,
    "prod": _prod,
    "einsum": _einsum,
}
# of what else nothing is known, so that it need not be looked into
_LOOKED_INTO = _RULES.keys() - {"negative", "cosh", "exp", "sigmoid", "expit", "softmax", "softplus", "subtract"}

__all__ = ["Logarithms", "one", "squared", "unmoved"]
