"""The logarithm of a likelihood of yes and no, as it is written, as the cross-entropy that it is.

Before: ``y * log(p) + (1 - y) * log(1 - p)``, p the sigmoid of z. After: minus the cross-entropy of z and y, of one exponential and one logarithm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from dsl.calculus.logarithms import unmoved
from dsl.calculus.stability import minus
from dsl.nodes import Apply, Node, applies, apply, moved
from dsl.ops.contraction import split_spec
from dsl.ops.core import is_number, neg
from dsl.ops.elementwise import ew
from dsl.ops.reduction import reduce

Entropy = Callable[[Node, Node], Node]
# so many factors are looked at: more than anyone writes
MOST = 16


class _Term(NamedTuple):
    """Factors, with a sign, times the logarithm of the sigmoid of z."""

    sign: int
    factors: Counter[Node]
    z: Node


def as_entropy(node: Node, of: Entropy) -> Node | None:
    """The node by the cross-entropy ``of`` z and y, where it is the sum of such logarithms, each maybe times the same, or of two sums of theirs, or
    sums that up."""
    if applies(node, "sum") and applies(node.args[0], "add", "subtract") and isinstance(node, Apply):
        inner = as_entropy(node.args[0], of)
        return None if inner is None else apply(node.op, inner, **dict(node.attrs))
    if not (isinstance(node, Apply) and applies(node, "add", "subtract")):
        return None
    one, other = map(_term, node.args)
    if one is None or other is None:
        return _of_sums(node, of)
    common = one.factors & other.factors
    ours, theirs = one.factors - common, other.factors - common
    for (y, z), rest in (((ours, one.z), theirs), ((theirs, other.z), ours)):
        if sum(y.values()) == sum(rest.values()) == 1 and _is_rest(*rest, *y) and (one.sign == other.sign) is (node.op.name == "add"):
            if one.z is minus(other.z) or other.z is minus(one.z):
                found = of(z, *y)
                for factor in common.elements():
                    found = ew("multiply", factor, found)
                return neg(found) if one.sign > 0 else found
    return None


def _is_rest(rest: Node, y: Node) -> bool:
    """Whether one weight is 1 minus the other, maybe of integers."""
    rest, y = (each.args[0] if applies(each, "cast") else each for each in (rest, y))
    return applies(rest, "subtract") and is_number(rest.args[0], 1) and rest.args[1] is y


def _term(node: Node) -> _Term | None:
    sign, factors, logs = 1, Counter[Node](), list[Node]()
    stack = [node]
    while stack and factors.total() < MOST:
        each = stack.pop()
        if applies(each, "multiply", "negative"):
            sign = -sign if applies(each, "negative") else sign
            stack += each.args
        elif (z := _logit(each)) is not None:
            logs.append(z)
        else:
            factors[each] += 1
    return _Term(sign, factors, logs[0]) if len(logs) == 1 and not stack else None


def _logit(node: Node) -> Node | None:
    """What a node is the logarithm of the sigmoid of, its entries maybe moved about; with its sign before it."""
    log, moves = unmoved(node)
    if not applies(log, "log_sigmoid"):
        return None
    (z,) = log.args
    return neg(moved(minus(z), moves)) if moves and applies(z, "negative") else moved(z, moves)


def _of_sums(node: Apply, of: Entropy) -> Node | None:
    """The same of two sums along the same axes, which may be written as products."""
    one, other = node.args
    sign, one = (-1, one.args[0]) if applies(one, "negative") else (1, one)
    if not (isinstance(one, Apply) and isinstance(other, Apply) and one.op is other.op and one.attrs == other.attrs):
        return None
    first, second = _summed(one), _summed(other)
    if first is None or second is None or first.type != second.type:
        return None
    inner = as_entropy(ew(node.op.name, first if sign > 0 else neg(first), second), of)
    if inner is None:
        return None
    if one.op.name in ("sum", "mean"):
        return reduce(one.op.name, inner, one.attr("axes"), bool(one.attr("keepdims")))
    (labels, _), output = split_spec(str(one.attr("spec")))
    return reduce("sum", inner, tuple(i - len(labels) for i, label in enumerate(labels) if label not in output))


def _summed(node: Apply) -> Node | None:
    """What is summed, entry by entry."""
    if node.op.name in ("sum", "mean"):
        return node.args[0]
    if node.op.name != "einsum" or len(node.args) != 2:
        return None
    (left, right), output = split_spec(str(node.attr("spec")))
    ordered = list(output) == [label for label in left if label in output] and len(set(left)) == len(left) and len(output) < len(left)
    return ew("multiply", *node.args) if left == right and ordered else None


__all__ = ["as_entropy"]
