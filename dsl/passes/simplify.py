"""The same values in fewer steps: the identities everywhere, then what depends on who reads a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from dsl.calculus.diagonals import added_in_place
from dsl.calculus.factors import FACTORS, is_factor
from dsl.calculus.identities import rewrite, rewritten
from dsl.nodes import Apply, Node, Program, applies, apply, cotangent_names, rebuild, remapped, topological
from dsl.ops.contraction import einsum, split_spec
from dsl.ops.core import is_number

_LINEAR = ("sum", "mean", "reshape", "einsum")


def normalise(program: Program) -> Program:
    """The same values, and the same derivatives, in fewer steps."""
    program = remapped(program, rebuild(program.every_root, rewrite))
    uses = Counter(arg for node in topological(program.every_root) for arg in node.args)
    named = {**program.names, **cotangent_names(program, program.adjoints), **cotangent_names(program, program.fused_adjoints)}
    kept = {node for node, count in uses.items() if count > 1 or node in named}
    return remapped(program, rebuild(program.every_root, lambda node: rewrite(_hoisted(_chosen_once(node), kept))))


def simplify(program: Program) -> Program:
    """The same values in fewer steps, once derivatives are taken: what only stood for another derivative goes."""
    program = normalise(remapped(program, rebuild(program.every_root, _value)))
    return remapped(program, rebuild(program.every_root, added_in_place))


def _value(node: Node) -> Node:
    while isinstance(node, Apply) and node.op.alias:
        node = node.args[0]
    return node


def _hoisted(node: Node, kept: Container[Node]) -> Node:
    """``b - a`` for ``-(a - b)``, and a sign or a number before a sum, a product, or what only moves entries, rather than in each entry. Not out
    of an array that is ``kept``: it would be made twice."""
    if isinstance(node, Apply) and node.op.name == "negative" and node.args[0] not in kept and applies(node.args[0], "subtract"):
        return rewritten("subtract", *node.args[0].args[::-1])
    if not applies(node, *_LINEAR):
        return node
    if node.op.name == "einsum" and len(node.args) == 1 and node.args[0] not in kept and (turned := _turned(node, node.args[0])):
        return turned
    for i, x in enumerate(node.args):
        if not isinstance(x, Apply) or x in kept or x.type.dtype != "float":
            continue
        if x.op.name == "negative":
            return rewritten("negative", _with(node, i, x.args[0]))
        if x.op.name == "multiply" and is_factor(x.args[0]) and x.args[1].type.matches(x.type):
            return rewritten("multiply", x.args[0], _with(node, i, x.args[1]))
    return node


def _chosen_once(node: Node) -> Node:
    """A choice between what is 0 where the condition does not hold, and 0, is the first."""
    if not applies(node, "where"):
        return node
    condition, x, y = node.args
    return x if is_number(y, 0) and x.type.matches(node.type) and _zero_unless(x, condition) else node


def _zero_unless(node: Node, condition: Node) -> bool:
    """Whether an array is 0 already wherever a condition does not hold: a choice by it, times numbers maybe."""
    for _ in range(FACTORS):
        if applies(node, "multiply") and is_factor(node.args[0]):
            node = node.args[1]
        elif applies(node, "negative") or (applies(node, "divide") and is_factor(node.args[1])):
            node = node.args[0]
    return applies(node, "where") and node.args[0] is condition and is_number(node.args[2], 0)


def _turned(node: Apply, product: Node) -> Node | None:
    """``(A @ B).T`` as ``B.T @ A.T``: the product's result in another order."""
    (labels,), output = split_spec(str(node.attr("spec")))
    if not (isinstance(product, Apply) and product.op.name == "einsum" and sorted(labels) == sorted(output) and len(set(labels)) == len(labels)):
        return None
    inputs, made = split_spec(str(product.attr("spec")))
    renamed = dict(zip(labels, made, strict=True))
    return rewrite(einsum(f"{','.join(inputs)}->{''.join(renamed[label] for label in output)}", *product.args))


def _with(node: Apply, i: int, arg: Node) -> Node:
    return rewrite(apply(node.op, *node.args[:i], arg, *node.args[i + 1 :], **dict(node.attrs)))


__all__ = ["normalise", "simplify"]
