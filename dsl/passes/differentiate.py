"""Reverse mode: a cotangent for each node, from the outputs back.

Before: outputs. After: ``cotangents`` (an argument per float output) and ``gradients`` (a node per name in ``wrt``), in one graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    first, lines = seeds[0][0], dict(program.lines)
    cotangents = pull_back([(outputs[name], seed) for name, seed in seeds], targets, lines)
    unit: dict[Node, Node] = {}
    if program.outputs[0][0] == first and outputs[first].type.shape == ():
        unit = pull_back([(outputs[first], const(1.0))], targets, lines)
    told = {each.span for each in program.warnings}
    missing = [each for each in program.arguments if each.node in targets and each.node not in cotangents and each.span not in told]
    warnings = tuple(
        Diagnostic(Code.W0101, f"no output depends on `{each.node.name}`: its gradient is zero", each.span, help="leave it out, or use it") for each in missing
    )
    return replace(
        program,
        cotangents=seeds,
        gradients=_named(cotangents, targets),
        fused=_named(unit, targets) if unit else (),
        adjoints=_adjoints(cotangents, targets),
        fused_adjoints=_adjoints(unit, targets),
        lines=lines,
        warnings=program.warnings + warnings,
    )


def _adjoints(cotangents: Mapping[Node, Node], targets: Iterable[Node]) -> dict[Node, Node]:
    """The primal of each cotangent that the gradients are made of."""
    reached = set(topological(cotangents[node] for node in targets if node in cotangents))
    adjoints: dict[Node, Node] = {}
    for node, cotangent in cotangents.items():
        if cotangent in reached and not isinstance(node, Const) and isinstance(cotangent, Apply):
            adjoints.setdefault(cotangent, node)
    return adjoints


def _named(cotangents: Mapping[Node, Node], targets: Iterable[Input]) -> tuple[tuple[str, Node], ...]:
    return tuple((node.name, cotangents.get(node) or spread(const(0.0), node)) for node in targets)
