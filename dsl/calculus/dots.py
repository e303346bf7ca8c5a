"""Sums of all entries as products of arrays, in one pass over each pair.

Before: ``sum(x * y)``, ``sum(100 * x ** 2 + y ** 2)``, ``sum(x ** 2 * y)``. After: ``x.dot(y)``, ``100 * x.dot(x) + y.dot(y)``, and ``(x * y).dot(x)``
where ``x * y`` is needed anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import ascii_letters

from dsl.calculus.factors import is_factor
from dsl.calculus.identities import rewritten
from dsl.calculus.scalings import readers_of, upon
from dsl.nodes import Apply, Node, Program, const, remapped, topological
from dsl.ops.broadcasting import SUM, total
from dsl.ops.contraction import einsum
from dsl.ops.core import is_number

Readers = Mapping[Node, Sequence[Node]]


def dotted(program: Program) -> Program:
    """The same values, every sum of all products of two arrays' entries without the products."""
    order, readers = topological(program.roots), readers_of(program)
    made = {args: node for node in order if isinstance(node, Apply) and node.op.name == "multiply" for args in (node.args, node.args[::-1])}
    mapped: dict[Node, Node] = {}
    for node in order:
        mapped[node] = upon(node, mapped)
        x = node.args[0] if isinstance(node, Apply) and node.op is SUM and not node.type.shape else None
        if x is not None and x.type.shape and x.type.dtype == "float":
            new = _added(list(_terms(x, readers)), made, mapped)
            mapped[node] = new if new is not None and new.type == node.type else mapped[node]
    return remapped(program, mapped)


def _added(terms: Sequence[tuple[Node, Node]], made: Mapping[tuple[Node, ...], Node], mapped: Mapping[Node, Node]) -> Node | None:
    """The sum of all entries of all terms: of the products each by itself, of the others together."""
    sums: Node | None = None
    rest: Node | None = None
    for number, term in terms:
        factors = _factors(term)
        if not factors:
            scaled = rewritten("multiply", number, mapped[term])
            rest = scaled if rest is None else rewritten("add", rest, scaled)
            continue
        factors = next(([made[pair], other] for pair, other in _splits(factors) if pair in made), factors)
        labels = ascii_letters[: len(term.type.known)]
        dot = rewritten("multiply", number, einsum(f"{labels},{labels}->", *(upon(factor, mapped) for factor in factors)))
        sums = dot if sums is None else rewritten("add", sums, dot)
    return sums if sums is None or rest is None else rewritten("add", total(rest), sums)


def _terms(x: Node, readers: Readers) -> Iterator[tuple[Node, Node]]:
    """What a sum adds up in each entry, each times a number, where nothing else reads it."""
    stack: list[tuple[Node, Node]] = [(const(1), x)]
    while stack:
        number, node = stack.pop()
        args = node.args if isinstance(node, Apply) and len(readers[node]) == 1 else ()
        same = bool(args) and all(arg.type == node.type for arg in args)
        name = node.op.name if isinstance(node, Apply) else ""
        if name in ("add", "subtract") and same:
            stack += [(number if name == "add" else rewritten("negative", number), args[1]), (number, args[0])]
        elif name == "negative" and same:
            stack.append((rewritten("negative", number), args[0]))
        elif name == "multiply" and args and is_factor(args[0]) and args[1].type == node.type:
            stack.append((rewritten("multiply", number, args[0]), args[1]))
        else:
            yield number, node


def _factors(node: Node) -> list[Node]:
    """The two arrays of a product's own shape that it is of."""
    squared = isinstance(node, Apply) and node.op.name == "power" and is_number(node.args[1], 2)
    pair = [] if not isinstance(node, Apply) else ([node.args[0]] * 2 if squared else [*node.args] if node.op.name == "multiply" else [])
    return pair if node.type.dtype == "float" and all(arg.type == node.type for arg in pair) else []


def _splits(factors: Sequence[Node]) -> Iterator[tuple[tuple[Node, ...], Node]]:
    """Two of three arrays that are multiplied, and the third; of the three, two are given as their product."""
    for product, third in (factors, factors[::-1]):
        within = _factors(product)
        yield from (((one, third), other) for one, other in zip(within, within[::-1], strict=True))


__all__ = ["dotted"]
