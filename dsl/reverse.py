"""Reverse mode: cotangents from the outputs of a graph back to its inputs, by each operation's own rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dsl.diagnostics import Code, Diagnostic, DslError
from dsl.identities import rewrite
from dsl.nodes import Apply, Line, Node, put_on_line, rebuild, topological
from dsl.ops.core import add
from dsl.ops.elementwise import Elementwise
from dsl.rules import elementwise_cotangent
from dsl.types import ShapeError


def pull_back(seeds: Sequence[tuple[Node, Node]], targets: Iterable[Node], lines: dict[Node, Line]) -> dict[Node, Node]:
    """The cotangent of every node between the seeds and the targets, from the seeds back. What the rule of a node makes stands on the
    node's line. Raises DslError for a node that has no derivative."""
    order = topological(node for node, _ in seeds)
    reaching = _reaching(order, targets)
    cotangents: dict[Node, Node] = {}
    for node, seed in seeds:
        cotangents[node] = add(cotangents[node], seed) if node in cotangents else seed
    simple: dict[Node, Node] = {node: node for node in order}
    for node in reversed(order):
        g = cotangents.get(node)
        if g is None or node not in reaching or not isinstance(node, Apply):
            continue
        for arg, part in zip(node.args, _vjp(node, g, reaching, lines), strict=True):
            if part is None or arg not in reaching:
                continue
            total = add(cotangents[arg], part) if arg in cotangents else part
            cotangents[arg] = rebuild([total], rewrite, simple)[total]
            if node in lines:
                put_on_line(cotangents[arg], lines[node], lines)
    return {node: cotangents[node] for node in reversed(order) if node in cotangents}


def _reaching(order: Iterable[Node], targets: Iterable[Node]) -> set[Node]:
    """The nodes through which a target acts."""
    reaching = set(targets)
    for node in order:
        if isinstance(node, Apply) and node.type.dtype == "float" and node.op.name != "stop_gradient" and not reaching.isdisjoint(node.args):
            reaching.add(node)
    return reaching


def _vjp(node: Apply, g: Node, reaching: set[Node], lines: dict[Node, Line]) -> Sequence[Node | None]:
    """The cotangent of each argument that needs one."""
    op = node.op
    try:
        if isinstance(op, Elementwise):
            return [elementwise_cotangent(node, op, i, g) if arg in reaching else None for i, arg in enumerate(node.args)]
        if op.vjp is None:
            raise ShapeError(Code.E0401, f"`{op.name}` has no derivative", help="put it inside `stop_gradient(…)`")
        return op.vjp(node, g)
    except ShapeError as problem:
        span = lines[node].span if node in lines else None
        raise DslError(Diagnostic(problem.code, problem.message, span, help=problem.help)) from None
