"""Numbers that stand before a product: what counts as one, and how several are one in lowest terms.

Before: ``2 * (dL / 2) * X``. After: ``dL * X``.
"""

from __future__ import annotations

import math

from dsl.nodes import Apply, Const, Input, Node, applies, const, of_sizes
from dsl.ops.elementwise import ew

LARGEST = 2**63
FACTORS = 8
# numbers beyond this, or below its reciprocal, stay where they are written: constants of physics keep float32 in its range
FAR = 1e9


def is_factor(node: Node) -> bool:
    """A number whose size nobody worries about: a usual constant, a count, a scalar cotangent, and what is made of these."""
    while applies(node, "multiply", "divide", "negative", "power", "sqrt") and node.type.shape == ():
        if len(node.args) == 2 and not is_factor(node.args[1]):
            return False
        node = node.args[0]
    if isinstance(node, Apply):
        return node.op.name in ("dimension", "size")
    if isinstance(node, Const):
        return not node.value or 1 / FAR < abs(node.value) < FAR
    return isinstance(node, Input) and node.role in ("cotangent", "const") and node.type.shape == ()


def _ratio(node: Node) -> tuple[int, int] | None:
    """The ratio of small integers that a constant is, written as a float or not."""
    if not isinstance(node, Const) or isinstance(node.value, bool) or not abs(node.value) < 2**53:
        return None
    top, bottom = node.value.as_integer_ratio()
    return (top, bottom) if bottom <= 64 else None


def in_lowest_terms(node: Apply) -> Node | None:
    """A scalar product with its numbers in front and in lowest terms: ``2 * (dL / 2)`` is ``dL``."""
    top, bottom = 1, 1
    factors: list[Node] = []
    divisors: list[Node] = []
    stack: list[tuple[Node, bool]] = [(node, True)]
    while stack:
        each, above = stack.pop()
        ratio = _ratio(each)
        if ratio is not None and (above or ratio[0]):
            a, b = ratio if above else ratio[::-1]
            top, bottom = top * a, bottom * b
        elif applies(each, "multiply", "divide"):
            stack += [(each.args[1], above == (each.op.name == "multiply")), (each.args[0], above)]
        elif applies(each, "negative"):
            top = -top
            stack.append((each.args[0], above))
        else:
            (factors if above else divisors).append(each)
    if max(abs(top), abs(bottom)) >= LARGEST or not top:
        return None
    for each in list(divisors):
        if each in factors and of_sizes(each):
            factors.remove(each)
            divisors.remove(each)
    common = math.gcd(top, bottom) * (1 if bottom > 0 else -1)
    top, bottom = top // common, bottom // common
    if factors:
        new = factors[0] if top == 1 else ew("negative", factors[0]) if top == -1 else ew("multiply", const(top), factors[0])
    else:
        new = const(float(top) if node.type.dtype == "float" else top)
    for each in factors[1:]:
        new = ew("multiply", new, each)
    for each in ([const(bottom)] if bottom != 1 else []) + divisors:
        new = ew("divide", new, each)
    return new if new.type == node.type else None


def is_negative(node: Node) -> bool:
    """Whether a sign stands before a node, or a number that fills it: a sum takes it in."""
    if applies(node, "broadcast_to"):
        return is_factor(node.args[0]) and leads_negative(node.args[0])
    return applies(node, "negative") or leads_negative(node)


def leads_negative(node: Node) -> bool:
    """Whether a product of a few factors begins with a negative number, so that a sign before it can take that in."""
    for _ in range(FACTORS):
        if not applies(node, "multiply", "divide"):
            break
        node = node.args[0]
    return isinstance(node, Const) and node.value < 0


__all__ = ["FACTORS", "LARGEST", "in_lowest_terms", "is_factor", "is_negative", "leads_negative"]
