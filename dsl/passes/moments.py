"""Sums of squared differences as products of moments, for ``value_and_grad`` of large arrays.

Before: ``sum((x[:, None] - mu) ** 2 * w, axis=-1)``, through an array of every row of x beside every row of mu. After, with both measured from the
mean of mu: ``x ** 2 @ w.T - 2 * x @ (w * mu).T + sum(w * mu ** 2, axis=-1)``, and so for every gradient. Digits are lost where the weights
are large and the points far from that mean. So this is a graph beside the other, which the generated code takes where it has
made sure that the sums are right to LOST: that much of 1 where they are exponents, that much of each where they are anything else.
It computes in float64 whatever it is given, for float32 would have no digits left.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from dsl.calculus.chains import Factor, Product, Scale, as_product, best_order, flattened
from dsl.calculus.factors import is_factor
from dsl.calculus.identities import rewrite, rewritten
from dsl.calculus.scalings import readers_of, scale_of, upon
from dsl.nodes import Apply, Node, Program, Way, applies, apply, const, fused_only, made_of, remapped, topological, with_fused
from dsl.ops.broadcasting import total
from dsl.ops.exactness import KEEPS_DIGITS, STANDS_APART
from dsl.ops.making import size_of
from dsl.ops.shaping import reshape
from dsl.types import ONE, Shape, product

Readers = Mapping[Node, Sequence[Node]]
# what may be lost, as the generated code's _keeps_digits and _stands_apart say
LOST = "1e-12"
WAY = "moments"
SAID = "Sums of squared differences of large arrays are products of moments where these are as exact: see _by_moments."
# what may happen to an exponent on its way, besides that it is multiplied by a number
_AFFINE = ("add", "subtract", "negative", "where", "reshape", "broadcast_to")
_EXPONENTIALS = ("exp", "logsumexp", "softmax", "log_softmax", "softmax_and_log", "softmax_and_logsumexp", "softmax_and_picked")
# one or two differences in a product: numbers, and how often each of the two is a factor instead
_TERMS = {1: ((1, 1, 0), (-1, 0, 1)), 2: ((1, 2, 0), (-2, 1, 1), (1, 0, 2))}


@dataclass(frozen=True)
class Difference:
    """An array of three axes that is the difference of two, which have the last one in common. ``x`` and ``y`` are these as matrices, and ``axes``
    where their rows are; ``sign`` is -1 for y - x."""

    node: Apply
    x: Node
    y: Node
    axes: tuple[int, int]
    sign: int


def moments(program: Program) -> Program:
    """The program, which says whether there is another graph for large arrays."""
    return replace(program, ways=(*program.ways, WAY)) if _found(program) else program


def multiplied_out(program: Program) -> Program:
    """The other graph of a program that has one, and what must be asked before it is taken."""
    found = _found(program)
    assert found is not None
    told = f"Sums of squared differences are products of moments, as exact to {LOST}; None where they might not be."
    return replace(with_fused(program, found), walks=(), ways=(), way=found.way, hastened=(told, *program.hastened))


def _found(program: Program) -> Program | None:
    """The graph of moments, and the questions whether they are as exact."""
    if not program.fused:
        return None
    only = fused_only(program)
    order, scale = topological(only.roots), scale_of(only)
    if any(isinstance(node, Apply) and (node.op.raises or node.op.nested) for node in order):
        # a matrix of exponentials may be so near to a singular one that an error in the last digits is too much
        return None
    for node in order:
        difference = _difference(node, scale)
        tops = difference and _tops(difference, order, only.roots)
        if difference and tops and (made := _expanded(only, difference, tops, scale)):
            return made
    return None


def _difference(node: Node, scale: Scale) -> Difference | None:
    """A node as such a difference; y is what has no rows of data, where one of the two has."""
    if not (isinstance(node, Apply) and node.op.name == "subtract" and node.type.dtype == "float" and len(node.type.shape or ()) == 3):
        return None
    known = node.type.known
    has = [[dim != ONE for dim in ((ONE,) * 3 + arg.type.known)[-3:]] for arg in node.args]
    if sorted(has) != [[False, True, True], [True, False, True]]:
        return None
    rows = [each.index(True) for each in has]
    x, y = (rewrite(reshape(arg, (known[row], known[2]))) for arg, row in zip(node.args, rows, strict=True))
    long = [any(symbol.name in scale.long for symbol in known[row].symbols()) for row in rows]
    return Difference(node, y, x, (rows[1], rows[0]), -1) if long == [False, True] else Difference(node, x, y, (rows[0], rows[1]), 1)


def _tops(of: Difference, order: Sequence[Node], roots: Container[Node]) -> dict[Node, Product] | None:
    """The products that are all that is made of a difference, and that do not have all its axes; None where it is needed as it is."""
    tops: dict[Node, Product] = {}
    inside: set[Node] = {of.node}
    for node in order:
        if inside.isdisjoint(node.args):
            continue
        found = flattened(node, inside.__contains__) if as_product(node) else None
        if found is None or any(factor.node in inside and factor.node is not of.node for factor in found[0].factors):
            return None
        labels = {factor.labels for factor in found[0].factors if factor.node is of.node}
        if len(labels) != 1:
            return None
        if not {*next(iter(labels))} <= {*found[0].output}:
            tops[node] = found[0]
        elif node in roots:
            return None
        else:
            inside.add(node)
    return tops


def _expanded(program: Program, of: Difference, tops: Mapping[Node, Product], scale: Scale) -> Program | None:
    """The graph of moments, and what tells whether they are exact."""
    order, readers = topological(program.roots), readers_of(program)
    # all rows of it, whatever they are called where they are taken in blocks
    every = of.y.args[0] if applies(of.y, "renamed") else of.y
    centre = rewritten("divide", total(every, -2), size_of(every, (-2,)))
    pair = [rewritten("subtract", each, centre) for each in (of.x, of.y)]
    mapped: dict[Node, Node] = {}
    guards: list[Sequence[Node]] = []
    for node in order:
        mapped[node] = upon(node, mapped)
        if node not in tops:
            continue
        labels, others = _split(of, tops[node])
        x, y = (labels[axis] for axis in of.axes)
        if {x, y} <= {*tops[node].output}:
            if len(tops[node].factors) - len(others) != 2 or any(x in factor.labels for factor in others):
                return None
            along = node.type.known[-1:] if tops[node].output == (x, y) else None
            guards.append(_guards(of, (y, labels[2]), others, tops[node], scale, _scales(node, order, readers, along)))
        moment = _moment(node, of, tops[node], pair, mapped, scale)
        if moment is None or moment.type != node.type:
            return None
        mapped[node] = moment
    if len(guards) != 1 or not guards[0]:
        return None
    made = remapped(program, mapped)
    way = Way("_by_moments", SAID, double=True, spared=product((*of.x.type.known, of.y.type.known[0])))
    return replace(made, wishes={**made.wishes, centre: "centre"}, guards=tuple(guards[0]), way=way)


def _split(of: Difference, top: Product) -> tuple[tuple[int, ...], list[Factor]]:
    """The labels of a difference in a product, and the other factors."""
    (labels,) = {factor.labels for factor in top.factors if factor.node is of.node}
    return labels, [factor for factor in top.factors if factor.node is not of.node]


def _moment(node: Node, of: Difference, top: Product, pair: Sequence[Node], mapped: Mapping[Node, Node], scale: Scale) -> Node | None:
    """A product with the difference multiplied out."""
    labels, others = _split(of, top)
    kept = [Factor(factor.labels, mapped[factor.node]) for factor in others]
    count = len(top.factors) - len(others)
    result: Node | None = None
    for number, *powers in _TERMS.get(count, ()):
        factors = [*kept, *(Factor((labels[of.axes[i]], labels[2]), pair[i]) for i in range(2) for _ in range(powers[i]))]
        present = {label for factor in factors for label in factor.labels}
        order = best_order(Product(tuple(factors), tuple(label for label in top.output if label in present), top.sizes), scale)
        if order is None or not present | {*top.output} >= {*top.sizes}:
            return None
        left = iter(top.output)
        shape = tuple(ONE if dim == ONE or next(left) not in present else dim for dim in node.type.known)
        term = order.built([factor.node for factor in factors], shape)
        term = term if abs(number) == 1 else rewritten("multiply", const(abs(number)), term)
        result = term if result is None else rewritten("add" if number > 0 else "subtract", result, term)
    return rewritten("negative", result) if result is not None and of.sign**count < 0 else result


def _guards(of: Difference, labels: tuple[int, int], others: Sequence[Factor], top: Product, scale: Scale, scales: Sequence[Node | None] | None) -> list[Node]:
    """Whether the sums keep their digits: asked of x and y, and of the weights of squares, for each way in which the sums are read."""
    # where x is y, each row is itself among those that it would have to stand apart from
    if scales is None or (None in scales and _seen_through(of.x) is _seen_through(of.y)):
        return []
    present = {label for factor in others for label in factor.labels}
    order = best_order(Product(tuple(others), tuple(label for label in labels if label in present), top.sizes), scale) if others else None
    shape = tuple(dim if label in present else ONE for label, dim in zip(labels, of.y.type.known, strict=True))
    weights = const(1.0) if order is None else order.built([factor.node for factor in others], shape)
    numbers = [rewrite(reshape(number, (*number.type.known, ONE))) if number.type.shape else number for number in scales if number is not None]
    if of.node in topological(numbers):  # a width that is made of the distances is not known before them
        return []
    exponents = [apply(KEEPS_DIGITS, of.x, of.y, rewritten("multiply", number, weights)) for number in numbers]
    return [*exponents, *[apply(STANDS_APART, of.x, of.y, weights)] * (None in scales)]


def _seen_through(node: Node) -> Node:
    """The array that others may be but another view of."""
    while applies(node, "reshape", "renamed"):
        node = node.args[0]
    return node


def _scales(node: Node, order: Sequence[Node], readers: Readers, along: Shape | None) -> list[Node | None] | None:
    """What a node is multiplied by, but for signs, on its way to being each exponent that it comes to, and None where it comes to anything else;
    None in all where it comes to one in two ways. That is a number, or one for each entry ``along`` the last axis. Beside what comes of the
    exponential, in a product, it counts no more than as an exponent: where it is nearly 0, that is nearly 1."""
    numbers: dict[Node, Node] = {node: const(1)}
    found: dict[Node | None, None] = {}
    exponentials: list[Node] = []
    otherwise: list[tuple[Node, Node]] = []
    waiting = [node]
    while waiting:
        each = waiting.pop()
        for reader in readers.get(each, ()):
            number = None if reader is each or not isinstance(reader, Apply) else _scaled(reader, each, numbers[each], along)
            if number is None:
                otherwise.append((reader, each))
            elif applies(reader, *_EXPONENTIALS):
                found[number] = None
                exponentials.append(reader)
            elif numbers.setdefault(reader, number) is number:
                waiting.append(reader)
            else:
                return None
    after = made_of(exponentials, order)
    if not all(applies(reader, "multiply", "einsum") and any(arg in after for arg in reader.args if arg is not each) for reader, each in otherwise):
        found[None] = None
    return list(found)


def _scaled(reader: Apply, node: Node, number: Node, along: Shape | None) -> Node | None:
    """What a reader's value is multiplied by where that of its argument is by a number; None where it is not simply that."""
    if reader.op.name in _EXPONENTIALS:
        return number
    others = [arg for arg in reader.args if arg is not node]
    divided = reader.op.name == "divide" and reader.args[0] is node
    same = reader.type.shape == node.type.shape
    if (divided or reader.op.name == "multiply") and len(others) == 1 and (is_factor(others[0]) or (same and others[0].type.shape == along)):
        return rewritten(reader.op.name, number, others[0])
    return number if reader.op.name in _AFFINE and len(others) == len(reader.args) - 1 and (same or not number.type.shape) else None


__all__ = ["moments", "multiplied_out"]
