"""The derivative of a step by each of its operands, at the point where it is evaluated, as a person writes it: ``S · (1 − S)``.

Of a function that works entry by entry it is the derivative of an entry; of a product the other factor, turned, as in the book; of anything
else what reverse mode makes of the incoming gradient, which is called g: ``solve(Sᵀ, g)``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dsl.calculus.identities import rewrite
from dsl.calculus.reverse import pull_back
from dsl.diagnostics import DslError
from dsl.nodes import Apply, Node, argument, const, of_sizes, rebuild, substituted, topological
from dsl.ops.core import Undecided
from dsl.ops.elementwise import Elementwise
from dsl.types import ShapeError, TensorType
from dsl.views.local import Expressions, body_of, factor, pulled
from dsl.views.steps import LOOPS, Composition, Step, short_names

WIDEST = 30
UNREADABLE = re.compile(r"[\"']|scatter|part\(|astype\(|full\(|ones\(|reshape\(|tensordot|broadcast_to")
# as it is written on paper
SIGNS = (
    *((r"\blinalg\.", ""), (r"\bfloat\.type\(([^()]*)\)", r"\1"), (r"\b(\d+)\.0\b", r"\1"), (r"^1 \* ", "")),
    *((r"\.m?T\b", "ᵀ"), (r" ?\*\* ?2\b(?!\.)", "²"), (r" ?\*\* ?3\b(?!\.)", "³"), (r" \* ", " · "), (r"(?<!e)-", "−"), (r"\bsqrt\(", "√(")),
)


@dataclass(frozen=True)
class Slope:
    """A derivative by an operand, as text. It is ``local`` where it is the step's own, to be multiplied by the incoming gradient; else it is
    the outgoing gradient, made of the incoming one, g."""

    text: str
    local: bool


def slopes(made: Composition) -> dict[tuple[int, int], Slope]:
    """The derivatives of a program's steps, by the step's number and the operand's place; those that are short enough to be read in a box."""
    write, names = Expressions(short_names(made)), {*(name for step in made.steps for name in step.names), *(each.name for each in made.arguments)}
    given = next(each for each in ("g", "G", "γ", "gradient") if each not in names)
    found = {}
    for step in made.steps:
        for i, operand in enumerate(step.operands):
            if operand.node is None or step.title in LOOPS or len(step.nodes) > 1 or not {operand.node.type.dtype, step.node.type.dtype} == {"float"}:
                continue
            slope = _slope(step, i, operand.node, write, given)
            if slope is not None and len(slope.text) <= WIDEST and not UNREADABLE.search(slope.text):
                found[step.number, i] = slope
    return found


def _slope(step: Step, i: int, node: Node, write: Expressions, given: str) -> Slope | None:
    """The derivative by an operand, whatever its length; the incoming gradient is called what is ``given``."""
    if step.title == "@":
        return Slope(_turned(step, 1 - i), True)
    if step.title == "[]":
        return Slope(f"{given} there, 0 elsewhere", False)
    if step.title == "sum":
        return Slope("1", True)
    try:
        if _elementwise(step):
            return Slope(_on_paper(_by_entry(step, node, write)), True)
        body = body_of(step)
        flat = all(len(each.type.shape or ()) <= 2 for each in _operands(step))
        if flat and (found := factor(body, node, lambda each: write.formula(each, body.names))):
            return Slope(_on_paper(found[0].plain), True)
        cotangent = pulled(body, node, [argument(given, "cotangent", body.results[0].type)])
        text = write.formula(cotangent, body.names).plain if cotangent is not None else "0"
    except (DslError, ShapeError, Undecided, KeyError):
        return None
    if step.title == "mean":
        text = re.sub(rf"\b{given}(?:\[[^]]*\])?", "1", text.partition(" * ones(")[0])
    return Slope(_on_paper(text), step.title == "mean")


def _on_paper(text: str) -> str:
    text = re.sub(r"\d+\.\d{6,}", lambda match: f"{float(match[0]):.6g}", text)
    for pattern, sign in SIGNS:
        text = re.sub(pattern, sign, text)
    return text


def _turned(step: Step, other: int) -> str:
    """The other factor of a product, as the gradient is multiplied by it."""
    node = step.operands[other].node
    return step.operands[other].name + ("ᵀ" if node is not None and len(node.type.shape or ()) > 1 else "")


def _operands(step: Step) -> list[Node]:
    return [each.node for each in step.operands if each.node is not None]


def _elementwise(step: Step) -> bool:
    """Whether each entry of a step's result is made of one entry of each operand."""
    between = topological([step.node], set(_operands(step)))
    return all(of_sizes(each) or (isinstance(each, Apply) and (isinstance(each.op, Elementwise) or each.op.elementwise)) for each in between)


def _by_entry(step: Step, node: Node, write: Expressions) -> str:
    """The derivative of an entry: that of the same function of numbers."""
    numbers = {
        each.node: argument(each.name, "input", TensorType(each.node.type.dtype, ())) for each in step.operands if each.node is not None
    }
    out = substituted([step.node], numbers)[step.node]
    cotangent = pull_back([(out, const(1.0))], [numbers[node]], {}).get(numbers[node])
    if cotangent is None or cotangent is out:
        return "0" if cotangent is None else write.formula(out, {}).plain
    named = substituted([cotangent], {out: argument(step.name, "input", out.type)})[cotangent]
    return write.formula(rebuild([named], rewrite)[named], {}).plain
