"""Sums of sums, term by term.

Before: ``dx + a + dy - b`` of a and b with fewer entries than dx and dy. After: ``dx + dy + (a - b)``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from dsl.calculus.identities import rewritten
from dsl.calculus.scalings import upon
from dsl.nodes import Apply, Node, Program, applies, is_view, remapped, topological
from dsl.types import Shape

# a sum of more terms is put together in parts
MOST = 32
SIGNS = {"add": (1, 1), "subtract": (1, -1)}
Terms = list[tuple[int, Node]]
T = TypeVar("T")


def terms_of(node: Apply, alone: Callable[[Node], bool], inner: set[Node]) -> Terms:
    """The terms of a sum of sums, in their order, each with its sign."""
    terms: Terms = []
    stack: Terms = [(1, node)]
    while stack:
        sign, each = stack.pop()
        if len(inner) < MOST and isinstance(each, Apply) and each.op.name in SIGNS and (each is node or alone(each)) and each.type.matches(node.type):
            if each is not node:
                inner.add(each)
            stack += [(sign * own, arg) for own, arg in zip(reversed(SIGNS[each.op.name]), reversed(each.args), strict=True)]
        else:
            terms.append((sign, each))
    return terms


def added_up(terms: Iterable[tuple[int, Node]]) -> Node:
    """A sum, of which the terms with the sign + come first."""
    (sign, total), *rest = sorted(terms, key=lambda term: -term[0])
    total = total if sign > 0 else rewritten("negative", total)
    for sign, term in rest:
        total = rewritten("add" if sign > 0 else "subtract", total, term)
    return total


def sums_of_cotangents(program: Program, order: Sequence[Node], wanted: Callable[[Apply, Terms, Mapping[Node, int]], T | None]) -> dict[Node, T]:
    """What is ``wanted`` of each sum of cotangents and of its terms, those of the sums within it that nothing else reads; it is told how often
    each node is read. Sums of the function itself stay in the order in which they are exact: ``x - max(x) - s`` is, for the first two are close."""
    written = set(topological(node for _, node in program.outputs))
    uses = Counter([*(arg for node in order for arg in node.args), *program.roots])
    found: dict[Node, T] = {}
    taken: set[Node] = set()
    for node in reversed(order):
        if isinstance(node, Apply) and node.op.name in SIGNS and not (node in taken or node in written):
            inner: set[Node] = set()
            made = wanted(node, terms_of(node, lambda each: uses[each] == 1, inner), uses)
            if made is not None:
                found[node] = made
                taken |= inner
    return found


def small_first(program: Program) -> Program:
    """Terms of a cotangent that have one shape, and fewer entries than it, are added to each other before they are added to the others."""
    order = topological(program.roots)

    def scaled(node: Apply, terms: Terms, uses: Mapping[Node, int]) -> list[_Scaled] | None:
        if not node.type.shape or node.type.dtype != "float":
            return None
        parts = [part for sign, each in terms for part in _spread(sign, each, node, uses)]
        return parts if len(parts) > 2 and _several(node, parts) else None

    sums = sums_of_cotangents(program, order, scaled)
    mapped: dict[Node, Node] = {}
    for node in order:
        mapped[node] = upon(node, mapped)
        if node in sums:
            groups: dict[Shape | None, Terms] = {shape: [] for shape in (None, *_several(node, sums[node]))}
            for each in sums[node]:
                value = mapped[each.node] if each.by is None else rewritten("multiply", mapped[each.by], mapped[each.node])
                groups[each.shape if each.shape in groups else None].append((each.sign, value))
            first, *small = groups.values()
            if first:
                mapped[node] = added_up([*first, *((1, added_up(group)) for group in small)])
    return remapped(program, mapped)


class _Scaled(NamedTuple):
    """A term of a sum with its sign, ``by`` something."""

    sign: int
    by: Node | None
    node: Node

    @property
    def shape(self) -> Shape | None:
        return self.node.type.shape


def _spread(sign: int, term: Node, whole: Node, uses: Mapping[Node, int]) -> list[_Scaled]:
    """``s * (x - m)`` as ``s * x - s * m`` where x are deviations from a mean and m, of the shape of s, is the mean that these have left, which is small. Of
    anything else nothing says so, and x - m may be exact."""
    if applies(term, "multiply") and uses[term] == 1:
        for by, inner in (term.args, term.args[::-1]):
            if isinstance(inner, Apply) and inner.op.name in SIGNS and uses[inner] == 1 and inner.type.matches(whole.type):
                x, m = inner.args
                if _mean_of(m) is x and applies(x, "subtract") and _mean_of(x.args[1]) is x.args[0] and m.type.shape == by.type.shape:
                    return [_Scaled(sign * own, by, arg) for own, arg in zip(SIGNS[inner.op.name], inner.args, strict=True)]
    return [_Scaled(sign, None, term)]


def _mean_of(node: Node) -> Node | None:
    """What a node is the mean of, as a sum over a count."""
    while is_view(node):
        node = node.args[0]
    total = node.args[0] if applies(node, "divide") else node
    while is_view(total):
        total = total.args[0]
    return total.args[0] if applies(total, "sum") and total is not node else None


def _several(whole: Node, terms: Iterable[_Scaled]) -> list[Shape]:
    """The shapes that more than one of the terms have, and fewer entries than the sum."""
    shapes = [shape for each in terms if (shape := each.shape) and not each.node.type.matches(whole.type) and each.node.type.dtype == "float"]
    return [shape for shape, count in Counter(shapes).items() if count > 1]


__all__ = ["SIGNS", "Terms", "added_up", "small_first", "sums_of_cotangents", "terms_of"]
