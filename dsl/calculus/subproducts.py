"""Products of arrays that are part of several others are made once.

Before: ``a * b / c`` and ``-2 * d * b / c``. After: ``ratio = b / c``, ``a * ratio`` and ``-2 * (d * ratio)``. Numbers stand in front, so that a sign or
a scale does not keep two products apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeGuard

from dsl.calculus.factors import is_factor
from dsl.calculus.identities import rewritten
from dsl.calculus.scalings import readers_of, upon
from dsl.nodes import Apply, Node, Program, const, remapped, topological

# so many factors of one product are looked at
MOST = 6
# so often what is shared is looked for once more, in what the last time has made
ROUNDS = 2

Factor = tuple[Node, int]
"""An array, and 1 where it is multiplied by, -1 where it is divided by."""


@dataclass(frozen=True)
class Term:
    """A number times arrays of one shape, in the order in which they are multiplied."""

    number: Node | None
    factors: tuple[Factor, ...]


def share_products(program: Program) -> Program:
    """The same values, each product of two arrays that several products have made once."""
    for _ in range(ROUNDS):
        terms = _terms(program)
        shared = _Pairs(terms.values())
        if not shared:
            break
        mapped: dict[Node, Node] = {}
        for node in topological(program.roots):
            term = shared.regrouped(terms[node]) if node in terms else None
            new = upon(node, mapped) if term is None else _built(term, mapped)
            mapped[node] = new if new.type == node.type else upon(node, mapped)
        program = remapped(program, mapped)
    return program


def _terms(program: Program) -> dict[Node, Term]:
    """The products that are no part of just one other."""
    readers = readers_of(program)
    found: dict[Node, Term] = {}
    parts: set[Node] = set()
    for node in topological(program.roots):
        if not _is_product(node):
            continue
        factors, number = list[Factor](), None
        for arg, sign in zip(node.args, (1, -1 if node.op.name == "divide" else 1), strict=False):
            inner = found.get(arg) if len(readers[arg]) == 1 and arg not in program.names else None
            if is_factor(arg):
                number = _scaled(number, arg, sign)
            elif inner is not None and len(factors) + len(inner.factors) < MOST:
                parts.add(arg)
                factors += [(each, way * sign) for each, way in inner.factors]
                number = number if inner.number is None else _scaled(number, inner.number, sign)
            else:
                factors.append((arg, sign))
        number = rewritten("negative", number or const(1)) if node.op.name == "negative" else number
        found[node] = Term(number, tuple(factors))
    return {node: term for node, term in found.items() if node not in parts}


def _is_product(node: Node) -> TypeGuard[Apply]:
    """Whether a node multiplies or divides arrays of its own shape, and numbers."""
    if not (isinstance(node, Apply) and node.op.name in ("multiply", "divide", "negative") and node.type.dtype == "float" and node.type.shape):
        return False
    return all(is_factor(arg) or arg.type == node.type for arg in node.args)


def _scaled(number: Node | None, by: Node, sign: int) -> Node:
    return rewritten("multiply" if sign > 0 else "divide", number or const(1), by)


class _Pairs:
    """The pairs of factors that several products have, and how many."""

    def __init__(self, terms: Collection[Term]) -> None:
        self.place = {factor: i for i, factor in enumerate(dict.fromkeys(factor for term in terms for factor in term.factors))}
        self.count = Counter(pair for term in terms for pair in dict.fromkeys(self._of(term)))

    def __bool__(self) -> bool:
        return any(times > 1 for times in self.count.values())

    def _of(self, term: Term) -> Iterator[tuple[Factor, Factor]]:
        """Two factors in an order that is the same for every product: one that is multiplied by first."""
        for one, other in combinations(term.factors, 2):
            if one[1] > 0 or other[1] > 0:
                yield (one, other) if (-one[1], self.place[one]) <= (-other[1], self.place[other]) else (other, one)

    def regrouped(self, term: Term) -> Term | None:
        """A product of products that several have, those of most first; None where it has none of them."""
        factors = list(term.factors)
        for one, other in sorted(self._of(term), key=lambda pair: -self.count[pair]):
            if self.count[one, other] > 1 and all(factors.count(each) >= (one, other).count(each) for each in (one, other)):
                place = min(factors.index(one), factors.index(other))
                for each in (one, other):
                    factors.remove(each)
                factors.insert(place, (rewritten("multiply" if other[1] > 0 else "divide", one[0], other[0]), 1))
        return None if tuple(factors) == term.factors else replace(term, factors=tuple(factors))


def _built(term: Term, mapped: dict[Node, Node]) -> Node:
    """The node of a product, its number in front. What two factors make may have been simplified to nodes that are new too."""
    number, whole = term.number, None
    for node, sign in sorted(term.factors, key=lambda factor: -factor[1]):
        for new in topological([node], mapped):
            mapped[new] = upon(new, mapped)
        x = mapped[node]
        if whole is None and sign < 0:
            whole, number = rewritten("divide", number or const(1.0), x), None
        else:
            whole = x if whole is None else rewritten("multiply" if sign > 0 else "divide", whole, x)
    assert whole is not None
    return whole if number is None else rewritten("multiply", number, whole)


__all__ = ["share_products"]
