"""Formulas that overflow or cancel, written so that they do not.

Before: ``log(sum(exp(x)))``. After: ``logsumexp(x)``. Runs ahead of differentiation, so that derivatives come from the better form too.
"""

from __future__ import annotations

from dataclasses import replace

from dsl.nodes import Apply, Node, Program, Rewrite, rebuild, remapped
from dsl.stability import MOVES, stable

_SAID = {
    "log_softmax": ("log(softmax(x))", "log_softmax(x)"),
    "log_sigmoid": ("log(sigmoid(x))", "log_sigmoid(x)"),
    "softplus": ("log(1 + exp(x))", "softplus(x)"),
    "logsumexp": ("log(sum(exp(x)))", "logsumexp(x)"),
    "log1p": ("log(1 + x)", "log1p(x)"),
    "expm1": ("exp(x) - 1", "expm1(x)"),
    "sigmoid": ("1 - sigmoid(x)", "sigmoid(-x)"),
    "abs": ("sqrt(x ** 2)", "abs(x)"),
}


def stabilise(program: Program) -> Program:
    """The same values, never less accurate. Each change is listed in ``rewrites``."""
    found: list[Rewrite] = []

    def change(node: Node) -> Node:
        new = stable(node)
        if new is not node and isinstance(node, Apply):
            found.append(Rewrite(program.lines.get(node), *_SAID[_applied(node, new)]))
        return new

    mapped = rebuild(program.every_root, change)
    return replace(remapped(program, mapped), rewrites=program.rewrites + tuple(found))


def _applied(node: Apply, new: Node) -> str:
    while isinstance(new, Apply) and new.op.name in (*MOVES, "negative"):
        new = new.args[0]
    return new.op.name if isinstance(new, Apply) else node.op.name
