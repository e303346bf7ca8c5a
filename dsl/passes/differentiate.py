"""Reverse mode: a cotangent for each node, from the outputs back.

Before: outputs. After: ``cotangents`` (an argument per float output) and ``gradients`` (a node per name in ``wrt``), in one graph.
"""

from __future__ import annotations

from dataclasses import replace

from dsl.diagnostics import Code, Diagnostic, DslError
from dsl.nodes import Apply, Const, Input, Line, Node, Program, argument, const, put_on_line, topological
from dsl.ops.core import add
from dsl.ops.elementwise import Elementwise
from dsl.ops.shaping import spread
from dsl.rules import elementwise_cotangent


def differentiate(program: Program) -> Program:
    """Gradients of the outputs with respect to ``wrt``. Raises DslError where there is no derivative."""
    seeds = tuple((name, argument(f"d{name}", "cotangent", node.type)) for name, node in program.outputs if node.type.dtype == "float")
    if not seeds:
        raise DslError(Diagnostic(Code.E0402, "no output is a float, so there is nothing to differentiate", None, "", "name a float with `output`"))
    wanted = {each.node.name: each.node for each in program.arguments}
    targets = [wanted[name] for name in program.wrt]
    outputs = dict(program.outputs)
    first = seeds[0][0]
    names, lines = dict(program.names), dict(program.lines)
    cotangents = pull_back([(outputs[name], seed) for name, seed in seeds], targets, lines)
    _call(cotangents, program, first, names)
    adjoints = {cotangent: node for node, cotangent in cotangents.items() if not isinstance(node, Const)}
    fused: tuple[tuple[str, Node], ...] = ()
    if program.outputs[0][0] == first and outputs[first].type.shape == ():
        unit = pull_back([(outputs[first], const(1.0))], targets, lines)
        fused = _named(unit, targets)
        adjoints = {**{cotangent: node for node, cotangent in unit.items() if not isinstance(cotangent, Const)}, **adjoints}
        _call(unit, program, first, names)
    for name, node in (*_named(cotangents, targets), *fused):
        if isinstance(node, Apply):
            names.setdefault(node, f"d{first}_d{name}")
    missing = [node for node in targets if node not in cotangents]
    warnings = tuple(Diagnostic(Code.W0101, f"no output depends on `{node.name}`: its gradient is zero", help="leave it out, or use it") for node in missing)
    return replace(
        program,
        cotangents=seeds,
        gradients=_named(cotangents, targets),
        fused=fused,
        adjoints=adjoints,
        names=names,
        lines=lines,
        warnings=program.warnings + warnings,
    )


def _call(cotangents: dict[Node, Node], program: Program, first: str, names: dict[Node, str]) -> None:
    """Cotangents of what the user named are named after it."""
    for node, cotangent in cotangents.items():
        called = node.name if isinstance(node, Input) else program.names.get(node)
        if called and isinstance(cotangent, Apply):
            names.setdefault(cotangent, f"d{first}_d{called}")


def _named(cotangents: dict[Node, Node], targets: list[Input]) -> tuple[tuple[str, Node], ...]:
    return tuple((node.name, cotangents.get(node) or spread(const(0.0), node)) for node in targets)


def pull_back(seeds: list[tuple[Node, Node]], targets: list[Input], lines: dict[Node, Line]) -> dict[Node, Node]:
    """The cotangent of every node between the seeds and the targets, from the seeds back. What the rule of a node makes stands on the
    node's line."""
    order = topological(node for node, _ in seeds)
    reaching: set[Node] = set(targets)
    for node in order:
        if isinstance(node, Apply) and node.type.dtype == "float" and node.op.name != "stop_gradient" and any(arg in reaching for arg in node.args):
            reaching.add(node)
    cotangents: dict[Node, Node] = {}
    for node, seed in seeds:
        cotangents[node] = add(cotangents[node], seed) if node in cotangents else seed
    for node in reversed(order):
        g = cotangents.get(node)
        if g is None or node not in reaching or not isinstance(node, Apply):
            continue
        for arg, part in zip(node.args, vjp(node, g, reaching), strict=True):
            if part is not None:
                cotangents[arg] = add(cotangents[arg], part) if arg in cotangents else part
                if node in lines:
                    put_on_line(cotangents[arg], lines[node], lines)
    return {node: cotangents[node] for node in reversed(order) if node in cotangents}


def vjp(node: Apply, g: Node, reaching: set[Node]) -> list[Node | None]:
    """The cotangent of each argument that needs one."""
    op = node.op
    if isinstance(op, Elementwise):
        return [elementwise_cotangent(node, op, i, g) if arg in reaching else None for i, arg in enumerate(node.args)]
    if op.vjp is None:
        raise DslError(Diagnostic(Code.E0401, f"`{op.name}` has no derivative", None, "", "put it inside `stop_gradient(…)`"))
    parts = op.vjp(node, g)
    return [part if arg in reaching else None for arg, part in zip(node.args, parts, strict=True)]
