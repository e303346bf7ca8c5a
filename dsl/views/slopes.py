"""The derivative of a step by each of its operands, at the point where it is evaluated, as a person writes it: ``S * (1 - S)``.

Of a function that works entry by entry it is the derivative of an entry; of a product the other factor, turned, as in the book; of anything
else what reverse mode makes of the incoming gradient, which is called g: ``g @ Wᵀ``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dsl.diagnostics import DslError
from dsl.identities import rewrite
from dsl.nodes import Apply, Const, Input, Node, argument, const, of_sizes, rebuild, substituted, topological
from dsl.ops.core import Undecided
from dsl.ops.elementwise import Elementwise
from dsl.ops.spec import ATOM, LOWEST, Text
from dsl.reverse import pull_back
from dsl.types import Dim, ShapeError, TensorType
from dsl.views.steps import LOOPS, Composition, Step

WIDEST = 30
NUMPY = re.compile(r"\b(?:np\.linalg\.|np\.|_)(?=[a-z])")
# as it is written on paper
SIGNS = ((r"\.m?T\b", "ᵀ"), (r" ?\*\* ?2\b(?!\.)", "²"), (r" ?\*\* ?3\b(?!\.)", "³"), (r" \* ", " · "), (r"(?<!e)-", "−"), (r"\bsqrt\(", "√("))
GIVEN = "g"
REDUCED = re.compile(rf"\b{GIVEN}(?:\[[^]]*\])?")
UNREADABLE = re.compile(r"[\"']|scatter\(|part\(|astype\(|full\(|reshape\(")


@dataclass(frozen=True)
class Slope:
    """A derivative by an operand, as text. It is ``local`` where it is the step's own, to be multiplied by the incoming gradient; else it is
    the outgoing gradient, made of the incoming one, g."""

    text: str
    local: bool


def slopes(made: Composition) -> dict[tuple[int, int], Slope]:
    """The derivatives of a program's steps, by the step's number and the operand's place; those that are short enough to be read in a box."""
    found = {}
    for step in made.steps:
        local, texts = _of(step)
        for i, text in texts.items():
            if len(text) <= WIDEST and not UNREADABLE.search(text):
                found[step.number, i] = Slope(_on_paper(text), local)
    return found


def _on_paper(text: str) -> str:
    for pattern, sign in SIGNS:
        text = re.sub(pattern, sign, text)
    return text


def _of(step: Step) -> tuple[bool, dict[int, str]]:
    """Whether they are local, and the derivatives by the operands that have one, by place."""
    places = {i: each.node for i, each in enumerate(step.operands) if each.node is not None and each.node.type.dtype == "float"}
    if step.title in LOOPS or step.node.type.dtype != "float" or len(step.nodes) > 1:
        return False, {}
    if step.title == "@" and len(places) == 2:
        return True, {i: _turned(step, 1 - i) for i in places}
    try:
        if _elementwise(step, places.values()):
            return True, _by_entry(step, places)
        pulled = _pulled(step, places)
    except (DslError, ShapeError, Undecided):
        return False, {}
    if step.title in ("sum", "mean"):
        return True, {i: REDUCED.sub("1", text) for i, text in pulled.items()}
    return False, {i: "g there, 0 elsewhere" if step.title == "[]" else text for i, text in pulled.items()}


def _turned(step: Step, other: int) -> str:
    """The other factor of a product, as the gradient is multiplied by it."""
    node = step.operands[other].node
    rank = len(node.type.shape or ()) if node is not None else 0
    return step.operands[other].name + (".T" if rank == 2 else ".mT" if rank > 2 else "")


def _elementwise(step: Step, operands: Iterable[Node]) -> bool:
    """Whether each entry of a step's result is made of one entry of each operand."""
    between = topological([step.node], set(operands))
    return all(of_sizes(each) or (isinstance(each, Apply) and (isinstance(each.op, Elementwise) or each.op.elementwise)) for each in between)


def _by_entry(step: Step, places: Mapping[int, Node]) -> dict[int, str]:
    """The derivative of an entry: that of the same function of numbers."""
    numbers = {node: argument(step.operands[i].name, "input", TensorType("float", ())) for i, node in places.items()}
    out = substituted([step.node], numbers)[step.node]
    return _texts(step, {i: numbers[node] for i, node in places.items()}, out, const(1.0))


def _pulled(step: Step, places: Mapping[int, Node]) -> dict[int, str]:
    """What reverse mode makes of the incoming gradient g."""
    given = {node: argument(step.operands[i].name, "input", node.type) for i, node in places.items()}
    out = substituted([step.node], given)[step.node]
    return _texts(step, {i: given[node] for i, node in places.items()}, out, argument("g", "cotangent", out.type))


def _texts(step: Step, given: Mapping[int, Input], out: Node, g: Node) -> dict[int, str]:
    cotangents = pull_back([(out, g)], given.values(), {})
    named = {out: argument(step.name, "input", out.type)}
    found = {}
    for i, each in given.items():
        if each in cotangents:
            node = substituted([cotangents[each]], {} if cotangents[each] is out else named)[cotangents[each]]
            found[i] = _written(rebuild([node], rewrite)[node])
    return found


@dataclass
class _Printer:
    """Prints an expression over names in one line."""

    texts: dict[Node, Text] = field(default_factory=dict)
    dtype: str = "float"

    def dim(self, dim: Dim) -> str:
        return dim.text()

    def shape(self, node: Node) -> str:
        return f"{self.texts[node].at(ATOM)}.shape"


def _written(node: Node) -> str:
    printer = _Printer()
    for each in topological([node]):
        if isinstance(each, Const):
            printer.texts[each] = Text(f"{each.value:.6g}", ATOM if each.value >= 0 else LOWEST)
        elif isinstance(each, Input):
            printer.texts[each] = Text(each.name)
        elif isinstance(each, Apply) and each.op.name in ("spread", "broadcast_to"):
            printer.texts[each] = printer.texts[each.args[0]]
        elif isinstance(each, Apply):
            printer.texts[each] = each.op.emit(each, [printer.texts[arg] for arg in each.args], printer)
    return NUMPY.sub("", printer.texts[node].text)
