"""A choice that several products share is made once, before them.

Before: ``where(c, g, 0)``, ``where(c, g * a, 0)`` and ``where(c, g * a * b, 0)``. After: ``d = where(c, g, 0)``, ``d * a`` and ``d * a * b``.
Derivatives come with the choice outside, so that what is not taken is 0 even where a factor is infinite; factors that cannot be, of entries
that are not, may stand outside just as well.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from dsl.nodes import Apply, Const, Node, Program, apply, of_sizes, remapped, topological
from dsl.ops.core import is_number
from dsl.rules import goes_along

# what is finite where its arguments are (but for overflow, which no choice keeps from the value itself)
_FINITE = frozenset(
    "add subtract multiply negative abs maximum minimum square tanh sigmoid sin cos where cast sum mean einsum reshape broadcast_to spread index".split()
)
_DEPTH = 12


def choose(program: Program) -> Program:
    """The same program, with every choice before the products that share it."""
    order = topological(program.every_root)
    chosen = {(node.args[0], node.args[1]) for node in order if _is_choice(node)}
    mapped: dict[Node, Node] = {}
    for node in order:
        if isinstance(node, Apply) and _is_choice(node) and (way := _way(node.args[1], node.args[0], chosen)):
            mapped[node] = _along(way, node, mapped)
        else:
            mapped[node] = _upon(node, [mapped[arg] for arg in node.args])
    return remapped(program, mapped)


def _is_choice(node: Node) -> bool:
    """Whether it is an array where a condition holds, and 0 elsewhere."""
    return isinstance(node, Apply) and node.op.name == "where" and is_number(node.args[2], 0) and node.args[1].type.matches(node.type)


def _way(product: Node, condition: Node, chosen: Container[tuple[Node, Node]]) -> list[tuple[Apply, int]]:
    """The products, and which factor of each, that lead from a product to a factor which is chosen by the same condition; the farthest such.
    Nothing where there is none, or where another factor may be infinite."""
    way: list[tuple[Apply, int]] = []
    best = 0
    node = product
    while isinstance(node, Apply) and len(way) < _DEPTH and (step := _step(node, condition)) is not None:
        way.append((node, step))
        node = node.args[step]
        if (condition, node) in chosen:
            best = len(way)
    return way[:best]


def _step(node: Apply, condition: Node) -> int | None:
    """Which factor to follow: the one of the product's own shape whose fellow is finite."""
    if node.op.name == "negative":
        return 0
    if node.op.name == "divide":
        return 0 if node.args[0].type.matches(node.type) and _divides(node.args[1], condition) else None
    if node.op.name == "multiply":
        whole = [i for i in (0, 1) if node.args[i].type.matches(node.type) and _finite(node.args[1 - i], condition, _DEPTH)]
        return next((i for i in whole if not isinstance(node.args[i], Const)), None)
    return None


def _finite(node: Node, condition: Node, depth: int) -> bool:
    """Whether an array is finite where what it is made of is. Looks no deeper than ``depth``."""
    if not isinstance(node, Apply):
        return True
    if depth == 0:
        return False
    if node.op.name == "divide":
        return _divides(node.args[1], condition) and _finite(node.args[0], condition, depth - 1)
    return node.op.name in _FINITE and all(_finite(arg, condition, depth - 1) for arg in node.args)


def _divides(divisor: Node, condition: Node) -> bool:
    """Whether a divisor is no entry's own, so that the condition does not keep from dividing by 0."""
    return _is_nonzero(divisor) or of_sizes(divisor) or not goes_along(divisor, condition)


def _is_nonzero(node: Node) -> bool:
    return isinstance(node, Const) and not is_number(node, 0)


def _along(way: Sequence[tuple[Apply, int]], choice: Apply, mapped: dict[Node, Node]) -> Node:
    """The products of a way upon the choice at its end."""
    last, i = way[-1]
    made: Node = apply(choice.op, mapped[choice.args[0]], mapped[last.args[i]], mapped[choice.args[2]], **dict(choice.attrs))
    for node, i in reversed(way):
        made = _upon(node, [made if j == i else mapped[arg] for j, arg in enumerate(node.args)])
    return made


def _upon(node: Node, args: Sequence[Node]) -> Node:
    return apply(node.op, *args, **dict(node.attrs)) if isinstance(node, Apply) else node


__all__ = ["choose"]
