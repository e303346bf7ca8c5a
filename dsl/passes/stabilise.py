"""Formulas that overflow or cancel, written so that they do not.

Before: ``log(sum(exp(x)))``. After: ``logsumexp(x)``. Runs ahead of differentiation, so that derivatives come from the better form too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dsl.calculus.stability import MOVES, complement, stable
from dsl.nodes import Apply, Nested, Node, Program, Rewrite, applies, rebuild, remapped, topological

_SAID = {
    "log_softmax": ("log(softmax(x))", "log_softmax(x)"),
    "log_sigmoid": ("log(sigmoid(x))", "log_sigmoid(x)"),
    "softplus": ("log(1 + exp(x))", "softplus(x)"),
    "logsumexp": ("log(sum(exp(x)))", "logsumexp(x)"),
    "log": ("log(exp(x))", "x"),
    "log1p": ("log(1 + x)", "log1p(x)"),
    "expm1": ("exp(x) - 1", "expm1(x)"),
    "sigmoid": ("1 - sigmoid(x)", "sigmoid(-x)"),
    "abs": ("sqrt(x ** 2)", "abs(x)"),
}


def stabilise(program: Program) -> Program:
    """The same values, never less accurate. Each change is listed in ``rewrites``."""
    found: list[Rewrite] = []
    cheap = _cheap(program.every_root)

    def change(node: Node) -> Node:
        new = stable(node)
        if new is node and node not in cheap:
            new = complement(node) or node
        if new is not node and isinstance(node, Apply):
            found.append(Rewrite(program.lines.get(node), *_SAID[_applied(node, new)]))
        return new

    mapped = rebuild(program.every_root, change)
    return replace(remapped(program, mapped), rewrites=program.rewrites + tuple(found))


def _cheap(roots: Iterable[Node]) -> set[Node]:
    """The ``1 - sigmoid(x)`` that are only multiplied by ``sigmoid(x)``, as in its derivative, or weigh one of two values of which that weighs the other, as
    in a gate: a small factor beside one that is nearly 1. They cost a subtraction, and what is made of them is as exact as it was written."""
    readers: dict[Node, list[Node]] = {}
    stack = [list(roots)]
    while stack:
        for node in topological(stack.pop()):
            for arg in node.args:
                readers.setdefault(arg, []).append(node)
            if isinstance(node, Apply):
                stack += [list(value.made) for _, value in node.attrs if isinstance(value, Nested)]
    return {node for node in readers if complement(node) is not None and _beside(node.args[1], node, readers)}


def _beside(factor: Node, node: Node, readers: Mapping[Node, Sequence[Node]]) -> bool:
    """Whether all that is made of a node is products in which the factor stands too, or that are added to one in which it does."""
    stack, seen = [node], {node}
    while stack:
        each = stack.pop()
        for reader in readers.get(each, ()) or [each]:
            if reader is each or not applies(reader, "multiply", "add"):
                return False
            other = reader.args[0] if reader.args[1] is each else reader.args[1]
            if factor in _factors(other):
                continue
            if applies(reader, "add"):
                return False
            if reader not in seen:
                seen.add(reader)
                stack.append(reader)
    return True


def _factors(node: Node) -> set[Node]:
    factors, stack = set[Node](), [node]
    while stack:
        each = stack.pop()
        factors.add(each)
        if isinstance(each, Apply) and each.op.name in ("multiply", "negative"):
            stack += each.args
    return factors


def _applied(node: Apply, new: Node) -> str:
    """Which of the changes was made."""
    if node.op.name == "log" and isinstance(node.args[0], Apply) and node.args[0].op.name == "exp":
        return "log"
    while isinstance(new, Apply) and new.op.name in (*MOVES, "negative"):
        new = new.args[0]
    return new.op.name if isinstance(new, Apply) else node.op.name
