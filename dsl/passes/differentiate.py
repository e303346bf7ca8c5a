"""Reverse mode: a cotangent for each node, from the outputs back.

Before: outputs. After: ``cotangents`` (an argument per float output) and ``gradients`` (a node per name in ``wrt``), in one graph.
"""

from __future__ import annotations

from dataclasses import replace

from dsl.diagnostics import Code, Diagnostic, DslError
from dsl.nodes import Apply, Const, Input, Node, Program, argument, const, topological
from dsl.ops.shaping import spread
from dsl.reverse import pull_back


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
    told = {each.span for each in program.warnings}
    missing = [each for each in program.arguments if each.node in targets and each.node not in cotangents and each.span not in told]
    warnings = tuple(
        Diagnostic(Code.W0101, f"no output depends on `{each.node.name}`: its gradient is zero", each.span, help="leave it out, or use it") for each in missing
    )
    gradients = _named(cotangents, targets)
    reached = set(topological(node for _, node in (*gradients, *fused)))
    return replace(
        program,
        cotangents=seeds,
        gradients=gradients,
        fused=fused,
        adjoints={cotangent: node for cotangent, node in adjoints.items() if cotangent in reached},
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
