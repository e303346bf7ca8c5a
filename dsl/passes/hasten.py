"""What ``value_and_grad`` does in fewer steps than forward and backward show.

Before: ``mean(x)``; ``x ** 3``; ``x / s`` of fewer ``s`` than ``x``; ``s * x - s * y``; ``log_softmax(x)`` and ``exp(log_softmax(x))``;
``logsumexp(x)`` and ``exp(x - logsumexp(x))``. After: ``sum(x) / n``; ``x * x * x``; ``x * (1 / s)``; ``s * (x - y)``; both results of one
operation, which takes each exponential once.
Only the fused graph is changed: the pair stays as it is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from itertools import product

from dsl.calculus.dots import dotted
from dsl.calculus.exponentials import Joint, logistic, picked, undivided
from dsl.calculus.factors import is_factor
from dsl.calculus.identities import rewrite, rewritten
from dsl.calculus.pieces import together
from dsl.calculus.scalings import divided, late, outside, scale_of
from dsl.calculus.subproducts import share_products
from dsl.calculus.sums import small_first
from dsl.calculus.within import within
from dsl.nodes import Apply, Const, Node, Program, applies, apply, const, fused_only, remapped, topological, with_fused
from dsl.ops.broadcasting import settings, total
from dsl.ops.contraction import split_spec
from dsl.ops.core import is_number
from dsl.ops.indexing import SCATTER
from dsl.ops.making import size_of
from dsl.ops.reduction import degrees
from dsl.ops.shaping import broadcast_to
from dsl.types import ONE

# what a power is worth: each costs about as much as reading the array once
_MOST_PRODUCTS = 5


def hasten(program: Program) -> Program:
    """The same program, its fused graph in fewer steps."""
    made = _joined(fused_only(program))
    done = outside(made)
    ready = together(small_first(logistic(dotted(done))))
    names = {node.op.name for node in topological(ready.roots) if isinstance(node, Apply)}
    said = {
        "One exponential serves a softmax and its logarithm.": any(name.startswith("softmax_and_") for name in names),
        "One exponential serves a softplus and the sigmoid that is its derivative.": "softplus_and_sigmoid" in names,
        "One exponential serves the logarithm of a sum of two and what share each has in it.": "logaddexp_and_shares" in names,
        "What a sum does not run over stands after it, where there are fewer entries.": done.roots != made.roots,
    }
    return replace(with_fused(program, ready), hastened=program.hastened + tuple(text for text, holds in said.items() if holds))


def _joined(only: Program) -> Program:
    """A graph, and those of the turns of its loops, in fewer steps; what stands beside others in sums and products comes after that."""
    only = divided(within(only, lambda turn, _: logistic(dotted(outside(_joined(turn))))))
    order = topological(only.roots)
    joint = Joint(order, scale_of(only))
    mapped: dict[Node, Node] = {}
    divisors = {node.args[1] for node in order if isinstance(node, Apply) and node.op.name == "divide"}
    guards = {node for node in order if isinstance(node, Apply) and _guards(node, divisors)}
    # what the function chooses by a length may not divide by it where it is 0; what is chosen by what is divided by it is no number there
    quotients = {node for node in order if applies(node, "divide") and applies(node.args[1], "norm", "std")}
    chosen = set(topological((node.args[0] for node in order if applies(node, "where") and node not in guards), quotients))
    readers = Counter(arg for node in order for arg in node.args) + Counter(only.roots)
    exps = {arg for node in order for i, arg in enumerate(node.args) if applies(arg, "exp") and not (i and applies(node, "divide"))}
    relus = {node.args[0]: node for node in order if isinstance(node, Apply) and node.op.name == "relu"}
    for node in order:
        mapped[node] = node
        if isinstance(node, Apply):
            args = [mapped[arg] for arg in node.args]
            if node.op.name == "greater" and node.args[0] in relus and is_number(node.args[1], 0):
                # relu(x) tells whether x > 0, and x need not be kept
                args[0] = mapped.get(relus[node.args[0]], args[0])
            if node in guards and _length_of(node) not in chosen:
                mapped[node] = args[2]
                continue
            new = joint.part_of(node, mapped) or rewrite(apply(node.op, *args, **dict(node.attrs)))
            new = new if applies(node, "divide") and node.args[1] in exps and node.args[1].type.matches(node.type) else _cheaper(new)
            mapped[node] = _factored(new) if _alone(node, readers) else new
    return late(share_products(undivided(picked(remapped(only, mapped)))))


def _guards(node: Apply, divisors: Container[Node]) -> bool:
    """Whether a choice keeps the derivative of a length from a length of 0 that the function divides by itself, so that nothing is left to be kept:
    the length instead of 1, or what is divided by that instead of 0."""
    if node.op.name != "where" or node.args[2].type != node.type:
        return False
    condition, one, other = node.args
    length = _length_of(node)
    if not (isinstance(length, Apply) and length.op.name in ("norm", "std") and length in divisors):
        return False
    if is_number(one, 1):
        return other is length
    while is_number(one, 0) and isinstance(other, Apply) and other.op.name in ("negative", "multiply", "divide"):
        bottom = other.args[-1]
        if isinstance(bottom, Apply) and bottom.op.name == "where" and bottom.args[0] is condition and bottom.args[2] is length:
            return True
        other = other.args[0] if other.op.name == "divide" else bottom
    return False


def _length_of(node: Apply) -> Node | None:
    """What a choice is made by being 0."""
    condition = node.args[0]
    return condition.args[0] if applies(condition, "equal") and is_number(condition.args[1], 0) else None


def _cheaper(node: Node) -> Node:
    """A single operation in a form that takes less time."""
    rule = _RULES.get(node.op.name) if isinstance(node, Apply) else None
    new = rule(node) if rule is not None and isinstance(node, Apply) and node.type.dtype == "float" else None
    return node if new is None or new.type != node.type else new


def _mean(node: Apply) -> Node:
    """A mean as a sum over a count: NumPy's own takes three times as long to begin."""
    axes, keepdims = settings(dict(node.attrs))
    return rewritten("divide", rewrite(total(node.args[0], axes, keepdims)), size_of(node.args[0], axes))


def _var(node: Apply) -> Node:
    """A variance as a sum of squares over a count."""
    axes, keepdims = settings(dict(node.attrs))
    return rewritten("divide", rewrite(total(rewritten("power", node.args[1], const(2)), axes, keepdims)), degrees(node))


def _norm(node: Apply) -> Node:
    """A length as the root of a sum of squares, as NumPy's own computes it, in a tenth of the time to begin."""
    axes, keepdims = settings(dict(node.attrs))
    return rewritten("sqrt", rewrite(total(rewritten("power", node.args[0], const(2)), axes, keepdims)))


def _power(node: Apply) -> Node | None:
    """A power as a few products, and a root for a half: NumPy's own takes up to forty times as long where numbers are negative."""
    x, y = node.args
    if node.type.shape == () or x.type.dtype != "float" or not isinstance(y, Const) or y.value in (0, 1, 2, -1) or y.value % 0.5:
        return None
    whole, half = int(abs(y.value)), abs(y.value) % 1
    if whole.bit_length() + whole.bit_count() > _MOST_PRODUCTS + 2:
        return None
    factors = [_raised(x, whole)] if whole else []
    factors += [rewritten("sqrt", x)] if half else []
    out = factors[0] if len(factors) == 1 else rewritten("multiply", *factors)
    return out if y.value > 0 else rewritten("divide", const(1.0), out)


def _raised(x: Node, n: int) -> Node:
    """x to the power of a positive integer, by squares."""
    if n == 1:
        return x
    square = rewritten("power", _raised(x, n // 2), const(2))
    return rewritten("multiply", square, x) if n % 2 else square


def _divide(node: Apply) -> Node | None:
    """A division by an exponential that nothing else reads, or by fewer numbers than there are entries, as a product: each is divided by once, and
    stands where products are put in order."""
    x, s = node.args
    if node.type.shape in (None, ()) or not x.type.matches(node.type) or s.type.shape is None:
        return None
    if isinstance(s, Apply) and s.op.name == "exp":
        return rewritten("multiply", x, rewritten("exp", rewritten("negative", s.args[0])))
    if is_factor(s):
        return rewritten("multiply", rewritten("divide", const(1.0), s), x)
    own = (ONE,) * (len(node.type.known) - len(s.type.shape)) + s.type.shape
    return None if own == node.type.shape or s.type.dtype != "float" else rewritten("multiply", x, rewritten("divide", const(1.0), s))


def _sum(node: Apply) -> Node | None:
    """A number that both terms of a sum have stands before it, as does one that one is the other times: ``x - s * x`` is ``(1 - s) * x``. A sign
    before the first of two becomes a difference."""
    if applies(node, "add") and node.type.shape and applies(node.args[0], "negative") and node.args[0].type == node.type:
        return _cheaper(rewritten("subtract", node.args[1], node.args[0].args[0]))
    for i, (whole, times) in enumerate((node.args, node.args[::-1])):
        number = _times(times, whole)
        if number is not None and whole.type == node.type:
            return rewritten("multiply", rewritten(node.op.name, *(const(1.0), number)[:: -1 if i else 1]), whole)
    (one, x), (other, y) = map(_scaled, node.args)
    if one is None or other is None or not node.type.shape:
        return None
    other = rewritten("negative", other) if node.op.name == "subtract" else other
    if isinstance(x, Const) or (isinstance(x, Apply) and x.op is SCATTER):
        # what stands everywhere, or in a piece, is added to the entries that are there already
        one, x, other, y = other, y, one, x
    sign = _sign(one, other)
    return rewritten("multiply", one, rewritten("add" if sign > 0 else "subtract", x, y)) if sign else None


def _times(node: Node, of: Node) -> Node | None:
    """The number without axes by which an array is another one multiplied."""
    if not (of.type.shape and applies(node, "multiply") and of in node.args):
        return None
    number = node.args[0] if node.args[1] is of else node.args[1]
    return number if number.type.shape == () and number.type.dtype == "float" else None


def _alone(node: Apply, readers: Mapping[Node, int]) -> bool:
    """Whether nothing else reads the terms of a sum or the sides of a choice, nor what they are a number times."""
    sides = node.args[-2:]
    terms = [*sides, *(arg.args[1] for arg in sides if applies(arg, "multiply") and is_factor(arg.args[0]))]
    return applies(node, "add", "subtract", "where") and all(readers[term] == 1 for term in terms)


def _factored(node: Node) -> Node:
    """An array that both terms of a sum, or both sides of a choice, are multiplied by, maybe in rows, stands before it: ``s * x - s * y`` is
    ``s * (x - y)``."""
    if applies(node, "multiply") and is_factor(node.args[0]):
        return rewritten("multiply", node.args[0], _factored(node.args[1]))
    if not applies(node, "add", "subtract", "where"):
        return node
    *condition, x, y = node.args
    if not (isinstance(x, Apply) and isinstance(y, Apply) and x.op is y.op and x.attrs == y.attrs and x.type == y.type == node.type):
        return node
    if not (x.op.name == "multiply" or (x.op.name == "einsum" and _spreads(x))) or any(map(is_factor, (*x.args, *y.args))):
        return node
    for i, k in product((0, 1), repeat=2):
        if x.args[i] is y.args[k] and (i == k or x.op.name == "multiply"):
            rest = rewritten(node.op.name, *condition, x.args[1 - i], y.args[1 - k])
            return rewrite(apply(x.op, *((x.args[i], rest) if i == 0 else (rest, x.args[i])), **dict(x.attrs)))
    return node


def _spreads(node: Apply) -> bool:
    """Whether a product of two only multiplies, and sums nothing."""
    labels, output = split_spec(str(node.attr("spec")))
    return len(labels) == 2 and all(len(set(each)) == len(each) for each in labels) and set(output) == set("".join(labels))


def _where(node: Apply) -> Node | None:
    """A number that both sides of a choice have, or the one that is not 0, stands before it."""
    condition, a, b = node.args
    (one, x), (other, y) = _scaled(a), _scaled(b)
    one, other = (other if is_number(a, 0) else one), (one if is_number(b, 0) else other)
    if one is None or other is None or not (sign := _sign(one, other)):
        return None
    return rewritten("multiply", one, rewritten("where", condition, x, y if sign > 0 else rewritten("negative", y)))


def _sign(one: Node, other: Node) -> int:
    """1 where two numbers are one, -1 where they are but for the sign, else 0."""
    if one is other or is_number(rewritten("divide", other, one), 1):
        return 1
    minus = rewritten("negative", other)
    return -1 if one is minus or is_number(rewritten("divide", minus, one), 1) else 0


def _scaled(node: Node) -> tuple[Node | None, Node]:
    """The number that stands before an array, in it or in the one place where it is not 0, and the rest."""
    if isinstance(node, Apply) and node.op.name == "multiply" and is_factor(node.args[0]):
        return node.args[0], node.args[1]
    if isinstance(node, Apply) and node.op.name == "negative":
        number, rest = _scaled(node.args[0])
        return (None if number is None else rewritten("negative", number)), rest
    if isinstance(node, Apply) and node.op.name == "broadcast_to" and is_factor(node.args[0]):
        return node.args[0], const(1.0)
    inner = node.args[0] if isinstance(node, Apply) and node.op is SCATTER else None
    if isinstance(node, Apply) and isinstance(inner, Apply) and inner.op.name == "broadcast_to" and is_factor(inner.args[0]):
        return inner.args[0], apply(SCATTER, broadcast_to(const(1.0), inner.type.known), *node.args[1:], **dict(node.attrs))
    return None, node


_RULES: dict[str, Callable[[Apply], Node | None]] = {
    "mean": _mean,
    "var": _var,
    "norm": _norm,
    "power": _power,
    "divide": _divide,
    "add": _sum,
    "subtract": _sum,
    "where": _where,
}


__all__ = ["hasten"]
