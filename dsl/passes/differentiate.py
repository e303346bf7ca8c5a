"""Reverse mode: a cotangent for each node, from the outputs back.

Before: outputs. After: ``cotangents`` (an argument per float output) and ``gradients`` (a node per name in ``wrt``), in one graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dsl.calculus.factors import is_factor
from dsl.calculus.identities import rewritten
from dsl.calculus.reverse import pull_back
from dsl.diagnostics import Code, Diagnostic, DslError
from dsl.nodes import Apply, Const, Input, Line, Node, Program, applies, argument, const, put_on_line, topological, unused
from dsl.ops.shaping import spread


def differentiate(program: Program) -> Program:
    """Gradients of the outputs with respect to ``wrt``. Raises DslError where there is no derivative."""
    seeds = _seeds(program)
    if not seeds:
        raise DslError(Diagnostic(Code.E0402, "no output is a float, so there is nothing to differentiate", None, "", "name a float with `output`"))
    wanted = {each.node.name: each.node for each in program.arguments}
    targets = [wanted[name] for name in program.wrt]
    outputs = dict(program.outputs)
    first, lines = seeds[0][0], dict(program.lines)
    cotangents = pull_back([(outputs[name], seed) for name, seed in seeds], targets, lines)
    unit, scaled = _unit(outputs[first], targets, lines) if program.outputs[0][0] == first and outputs[first].type.shape == () else ({}, {})
    told = {each.span for each in program.warnings}
    missing = [each for each in program.arguments if each.node in targets and each.node not in cotangents and each.span not in told]
    warnings = tuple(
        Diagnostic(Code.W0101, f"no output changes with `{each.node.name}`: its gradient is zero", each.span, help="leave it out, or use it")
        for each in missing
    )
    return replace(
        program,
        cotangents=seeds,
        gradients=_named(cotangents, targets),
        fused=(program.outputs[0], *_named({**unit, **scaled}, targets)) if unit else (),
        adjoints=_adjoints(cotangents, targets),
        fused_adjoints=_adjoints(scaled or unit, targets),
        lines=lines,
        warnings=program.warnings + warnings,
    )


def _seeds(program: Program) -> tuple[tuple[str, Input], ...]:
    """The cotangent of each float output, by its name: ``dL`` for L, unless something of the user's is called so, as a step ``dt`` beside a time t."""
    taken = {each.node.name for each in program.arguments} | {*program.names.values()} | {name for name, _ in program.outputs}
    taken |= {symbol.name for each in program.arguments for dim in each.node.type.shape or () for symbol in dim.symbols()}
    seeds: list[tuple[str, Input]] = []
    for name, node in program.outputs:
        if node.type.dtype == "float":
            called = unused(f"d{name}", taken)
            taken.add(called)
            seeds.append((name, argument(called, "cotangent", node.type)))
    return tuple(seeds)


def _unit(output: Node, targets: list[Input], lines: dict[Node, Line]) -> tuple[dict[Node, Node], dict[Node, Node]]:
    """The cotangents that follow from a scalar's own being 1. Where all of them carry one number, as those of ``sqrt(sum(x ** 2))`` carry
    ``0.5 / L``, which is known only when all sums are, they come without it, and with it only what is wanted: so the way back need not wait."""
    last = _bottleneck(output, targets)
    factor = None if last is None or last is output else pull_back([(output, const(1.0))], [last], lines).get(last)
    unit = {} if last is None or factor is None or is_factor(factor) else pull_back([(last, const(1.0))], targets, lines)
    chosen = any(applies(node, "where") for node in topological(unit[target] for target in targets if target in unit))
    if last is None or factor is None or not unit or (chosen and _is_steep(output, last)):
        # what is chosen to be 0 would not stay so times inf
        return pull_back([(output, const(1.0))], targets, lines), {}
    scaled: dict[Node, Node] = {target: rewritten("multiply", factor, unit[target]) for target in targets if target in unit}
    for node in scaled.values():
        if output in lines:
            put_on_line(node, lines[output], lines)
    return unit, scaled


def _is_steep(output: Node, last: Node) -> bool:
    """Whether a number, as a root of 0 does, may change infinitely fast with another where it is finite."""
    return any(applies(node, *_STEEP) for node in topological([output], set(topological([last]))))


_STEEP = ("sqrt", "cbrt", "power", "norm", "std", "arcsin", "arccos", "arccosh")


def _bottleneck(output: Node, targets: Iterable[Node]) -> Node | None:
    """The number through which everything acts on a scalar: the one that arrays act on, if there is one such."""
    reaching = set(targets)
    for node in topological([output]):
        if not reaching.isdisjoint(node.args):
            reaching.add(node)
    found: set[Node] = set()
    stack, seen = [output], {output}
    while stack:
        node = stack.pop()
        acting = [arg for arg in node.args if arg in reaching]
        if node in targets or any(arg.type.shape != () or (isinstance(arg, Apply) and (arg.op.nested or arg.op.parts)) for arg in acting):
            found.add(node)
            continue
        stack += [arg for arg in acting if arg not in seen]
        seen |= {*acting}
    return found.pop() if len(found) == 1 else None


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
