"""Formulas that overflow or cancel, written so that they do not.

Before: ``log(sum(exp(x)))``. After: ``logsumexp(x)``. Runs ahead of differentiation, so that derivatives come from the better form too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from dsl.calculus.entropies import as_entropy
from dsl.calculus.logarithms import Logarithms
from dsl.calculus.stability import complement, stable
from dsl.library import applied
from dsl.nodes import Apply, Line, Nested, Node, Program, Rewrite, applies, rebuild, remapped, topological

# what is said of a change, by the operation that was there and the one that is
_SAID = {
    ("log", "log_softmax"): ("log(softmax(x))", "log_softmax(x)"),
    ("log", "log_sigmoid"): ("log(sigmoid(x))", "log_sigmoid(x)"),
    ("log", "softplus"): ("log(1 + exp(x))", "softplus(x)"),
    ("log", "logsumexp"): ("log(sum(exp(x)))", "logsumexp(x)"),
    ("log", "log"): ("log(exp(x))", "x"),
    ("log", "log1p"): ("log(1 + x)", "log1p(x)"),
    ("log", "add"): ("log(exp(x) * y)", "x + log(y)"),
    ("log", "subtract"): ("log(exp(x) / y)", "x - log(y)"),
    ("log", "multiply"): ("log(exp(x) ** y)", "y * x"),
    ("log", "divide"): ("log(sqrt(exp(x)))", "x / 2"),
    ("log", "logaddexp"): ("log(exp(x) + exp(y))", "logaddexp(x, y)"),
    ("log", "where"): ("log(where(c, exp(x), exp(y)))", "where(c, x, y)"),
    ("log", "sum"): ("log(prod(exp(x)))", "sum(x)"),
    ("log", "log_cosh"): ("log(cosh(x))", "log_cosh(x)"),
    ("log", "negative"): ("log(1 - tanh(x) ** 2)", "-2 * log_cosh(x)"),
    ("log", "log1mexp"): ("log(1 - exp(-x))", "log1mexp(x)"),
    ("subtract", "negative"): ("1 - exp(x)", "-expm1(x)"),
    ("subtract", "expm1"): ("exp(x) - 1", "expm1(x)"),
    ("subtract", "sigmoid"): ("1 - sigmoid(x)", "sigmoid(-x)"),
    ("sqrt", "abs"): ("sqrt(x ** 2)", "abs(x)"),
    ("sqrt", "norm"): ("sqrt(sum(x ** 2))", "norm(x)"),
    ("where", "where"): ("where(c, f(x), f(y))", "f(where(c, x, y))"),
    ("divide", "sigmoid"): ("1 / (1 + exp(-x))", "sigmoid(x)"),
    ("divide", "softmax"): ("exp(x) / sum(exp(x))", "softmax(x)"),
    ("softmax", "softmax"): ("softmax(x - max(x))", "softmax(x)"),
    ("log_softmax", "log_softmax"): ("log_softmax(x - max(x))", "log_softmax(x)"),
    ("add", "logsumexp"): ("logsumexp(x - max(x)) + max(x)", "logsumexp(x)"),
}
_ENTROPY = ("y * log(sigmoid(x)) + (1 - y) * log(1 - sigmoid(x))", "-sigmoid_binary_cross_entropy(x, y)")


Rule = Callable[[Node], tuple[Node, tuple[str, str]] | None]


def stabilise(program: Program) -> Program:
    """The same values, never less accurate. Each change is listed in ``rewrites``."""
    logs = Logarithms({each.node for each in program.arguments if "positive" in each.words})

    def safely(node: Node) -> tuple[Node, tuple[str, str]] | None:
        new = stable(node, logs)
        return None if new is node or not isinstance(node, Apply) else (new, _said(node, new))

    program = _by_rule(program, safely)
    cheap = _cheap(program.every_root)

    def exactly(node: Node) -> tuple[Node, tuple[str, str]] | None:
        if node not in cheap and (new := complement(node)) is not None:
            return new, _SAID["subtract", "sigmoid"]
        entropy = as_entropy(node, _cross_entropy)
        return None if entropy is None or entropy.type != node.type else (entropy, _ENTROPY)

    return _by_rule(program, exactly)


def _by_rule(program: Program, rule: Rule) -> Program:
    """The program with every node that a rule has something better for."""
    found: list[tuple[Node, tuple[str, str]]] = []

    def change(node: Node) -> Node:
        better = rule(node)
        if better is None:
            return node
        found.append(better)
        return better[0]

    mapped = rebuild(program.every_root, change)
    lines: dict[Node, Line] = {}
    for node, new in mapped.items():
        if node in program.lines:
            lines.setdefault(new, program.lines[node])
    rewrites = tuple(Rewrite(lines.get(new), *said) for new, said in found)
    return replace(remapped(program, mapped), rewrites=program.rewrites + rewrites)


def _cross_entropy(logits: Node, labels: Node) -> Node:
    return applied("sigmoid_binary_cross_entropy", logits, labels)


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


def _said(node: Apply, new: Node) -> tuple[str, str]:
    """A change as formulas."""
    if applies(node, "where"):
        return _SAID["where", "where"]
    if applies(node, "log") and applies(node.args[0], "exp"):
        return _SAID["log", "log"]
    if applies(node, "subtract") and applies(new, "negative"):
        return _SAID["subtract", "negative"]
    while isinstance(new, Apply) and (new.op.view if applies(node, "log") else new.op.name in ("negative", "multiply")):
        new = new.args[-1 if new.op.name == "multiply" else 0]
    name = new.op.name if isinstance(new, Apply) else "number"
    return _SAID.get((node.op.name, name), (f"{node.op.name}(x)", f"{name}(x)"))
