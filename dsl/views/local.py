"""The derivative of one step by one operand: what it makes of the cotangent G of the step's result, by which rule, and why the shapes fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from dsl import syntax
from dsl.calculus.identities import rewrite
from dsl.calculus.reverse import pull_back
from dsl.catalogue import catalogue
from dsl.elaborate import OPERATORS
from dsl.emit.body import number
from dsl.emit.latex import identifier, latex
from dsl.nodes import Apply, Const, Input, Node, argument, const, rebuild, substituted, topological
from dsl.ops.contraction import EINSUM, split_spec
from dsl.ops.core import add
from dsl.ops.elementwise import Elementwise
from dsl.ops.spec import PRODUCT, Text
from dsl.rules import RuleOp, elementwise_cotangent, partial
from dsl.types import Dim
from dsl.views.steps import LOOPS, Operand, Step

DERIVATIVES = ("grad", "jacobian", "hessian", "jvp", "vjp", "hvp")
FUNCTIONS = {**OPERATORS, "@": "matmul", "T": "transpose"}


@dataclass(frozen=True)
class Formula:
    """A formula as LaTeX and as the NumPy that says the same."""

    latex: str
    plain: str


class Expressions:
    """Writes graphs as formulas, with the program's undeclared dimensions under short names."""

    def __init__(self, dims: Mapping[str, str]) -> None:
        self.dims = dims

    def formula(self, node: Node, names: Mapping[Node, Formula]) -> Formula:
        if isinstance(node, Input) and node in names:
            return names[node]
        return Formula(
            self.tidy(latex(node, {each: shown.latex for each, shown in names.items()})),
            self.tidy(plain(node, {each: shown.plain for each, shown in names.items()})),
        )

    def tidy(self, text: str) -> str:
        for long, short in self.dims.items():
            text = text.replace(rf"\text{{{long}}}", short).replace(long, short)
        return text

    def shape(self, node: Node) -> str:
        """``N × K``; of a scalar, ``a number``."""
        dims = node.type.shape
        if dims is None:
            return "any shape"
        return " × ".join(self.tidy(str(each)) for each in dims) if dims else "a number"

def plain(node: Node, names: Mapping[Node, str]) -> str:
    """A graph as NumPy text, down to what has a name."""
    texts: dict[Node, Text] = {each: Text(name) for each, name in names.items() if each is not node}
    for each in topological([node], dict(texts)):
        if isinstance(each, Const):
            texts[each] = number(each)
        elif isinstance(each, Input):
            texts[each] = Text(each.name)
        elif isinstance(each, Apply):
            texts[each] = _printed(each, [texts[arg] for arg in each.args])
    return _HELPER.sub("", texts[node].text)


_HELPER = re.compile(r"\b_(?=[a-z])|\bnp\.")


def _printed(node: Apply, args: Sequence[Text]) -> Text:
    if node.op.name == "floored":
        # which a formula does without
        return args[0]
    if node.op.nested or node.op.name == "unpart":
        return Text(f"{node.op.name}({', '.join(arg.text for arg in args)})")
    if node.op.name in ("spread", "broadcast_to") and node.args[0].type.shape == () and not isinstance(node.args[0], Const):
        return Text(f"{args[0].at(PRODUCT)} * ones({_PRINTER.shape(node)})", PRODUCT)
    return node.op.emit(node, args, _PRINTER)


class _Printer:
    dtype = "float"
    fast = False

    def dim(self, dim: Dim) -> str:
        return str(dim)

    def shape(self, node: Node) -> str:
        return "any" if node.type.shape is None else f"({', '.join(map(str, node.type.shape))}{',' * (len(node.type.shape) == 1)})"


_PRINTER = _Printer()


@dataclass(frozen=True)
class Body:
    """A step on symbols of its operands: ``results`` are what it makes of ``given``, which have the operands' names."""

    step: Step
    results: tuple[Node, ...]
    given: Mapping[Node, Input]

    @property
    def names(self) -> dict[Node, Formula]:
        return {node: Formula(identifier(name), name) for node, name in zip(self.results, self.step.names, strict=True)}


def body_of(step: Step) -> Body:
    """A step taken out of its program."""
    if step.title in LOOPS:
        return Body(step, step.nodes, {})
    read = leaves(step) if step.title in DERIVATIVES else [(each.name, each.node) for each in step.operands]
    given = {node: argument(name, _role(node), node.type) for name, node in read if node is not None}
    mapped = substituted(step.nodes, dict(given))
    return Body(step, tuple(mapped[node] for node in step.nodes), given)


def leaves(step: Step) -> list[tuple[str, Node]]:
    """What the formula of a derivative reads."""
    return [(each.name, each) for each in topological(step.nodes) if isinstance(each, Input)]


def _role(node: Node) -> str:
    return "const" if isinstance(node, Input) and node.role == "const" else "operand"


def is_primitive(node: Node) -> bool:
    """Whether a step on symbols is one operation of the graph."""
    return isinstance(node, Apply) and all(isinstance(arg, (Input, Const)) for arg in node.args) and not node.op.nested


def pulled(body: Body, operand: Node, cotangents: Sequence[Node | None]) -> Node | None:
    """The cotangent of an operand, given those of the results: as its rule states it where the step is one primitive, else as reverse mode puts
    the rules of its parts together. None where it is zero."""
    target = body.given[operand]
    (first, *rest), g = body.results, cotangents[0]
    if not rest and g is not None and isinstance(first, Apply) and is_primitive(first) and not first.op.alias:
        parts = [_by_rule(first, i, g) for i, arg in enumerate(first.args) if arg is target]
        found = [each for each in parts if each is not None]
        return reduce(add, found) if found else None
    seeds = [(node, one) for node, one in zip(body.results, cotangents, strict=True) if one is not None and node.type.dtype == "float"]
    return pull_back(seeds, [target], {}).get(target)


def _by_rule(node: Apply, i: int, g: Node) -> Node | None:
    """The cotangent of argument i, by the operation's own rule and nothing else."""
    if isinstance(node.op, Elementwise):
        return elementwise_cotangent(node, node.op, i, g)
    return node.op.vjp(node, g)[i] if node.op.vjp else None


def factor(body: Body, operand: Node, write: Callable[[Node], Formula]) -> tuple[Formula, str] | None:
    """The local derivative by itself, and how the cotangent is multiplied by it, where it is one factor."""
    node, target = body.results[0], body.given[operand]
    if len(body.results) > 1 or not isinstance(node, Apply):
        return None
    g = argument("G", "cotangent", node.type)
    if isinstance(node.op, Elementwise) and list(node.args).count(target) == 1 and all(isinstance(arg, (Input, Const)) for arg in node.args):
        found = partial(node, node.op, node.args.index(target))
        return write(_tidied(found, node)), "entry by entry"
    made = pulled(body, operand, [g])
    if made is None:
        return None
    made = _tidied(made, node)
    if isinstance(made, Apply) and made.op is EINSUM and len(made.args) == 2 and list(made.args).count(g) == 1:
        text = write(made)
        for side, rest in (("from the left", text.latex.removesuffix(" G")), ("from the right", text.latex.removeprefix("G "))):
            if rest != text.latex and "G" not in rest:
                other = next(arg for arg in made.args if arg is not g)
                alone = rest.strip().removesuffix("\\,").removeprefix("\\,").strip()
                return Formula(alone, f"{write(other).plain}{'.T' if alone.endswith('top') else ''}"), side
    if isinstance(made, Apply) and made.op.name in ("spread", "broadcast_to") and made.args[0] is g:
        ones = rebuild([made], lambda each: each, {g: const(1.0)})[made]
        return Formula(write(ones).latex, "1"), "for each entry"
    return None


def _tidied(node: Node, whole: Node) -> Node:
    return rebuild([node], rewrite, {whole: whole})[node]


def rule_text(step: Step, operand: Operand, body: Body) -> str:
    """The rule that a derivative comes from, in words or as the stanza states it."""
    node = body.results[0]
    name = FUNCTIONS.get(step.title, step.title)
    if step.title == "-" and len(step.operands) == 1:
        name = "negative"
    place = body.given.get(operand.node) if operand.node is not None else None
    if isinstance(node, Apply) and isinstance(node.op, Elementwise) and node.op.name == name and place in node.args:
        param = node.op.params[node.args.index(place)]
        return f"{name}: d/d{param} = {node.op.stanza.partials[param]}" if param in node.op.stanza.partials else name
    if isinstance(node, Apply) and isinstance(node.op, RuleOp) and node.op.rule is not None and place in node.args[1:]:
        param = node.op.params[1 + node.args[1:].index(place)]
        line = next((each for each in node.op.rule.lines if each.argument == param and each.key in ("d", "vjp")), None)
        if line is not None and isinstance(line.body, syntax.Expr):
            return f"{step.title}: {'d/d' if line.key == 'd' else 'vjp '}{param} = {' '.join(line.body.span.text.split())}"
    if step.title == "[]":
        return "indexing: each entry's cotangent goes back to where the entry was taken, zeros elsewhere"
    entry = catalogue().get(name)
    if step.title in DERIVATIVES:
        return f"{step.title} is a formula like any other: the rules of its parts, put together"
    if entry is not None and entry.source and not entry.derivatives:
        return f"{name} is written in the language itself: the rules of its parts, put together"
    if entry is not None and entry.derivatives:
        return f"{name}: {entry.derivatives[0].removeprefix('d/dx = ')}"
    return f"{name}: the rules of its parts, put together"


def shapes_fit(step: Step, operand: Operand, made: Node, write: Expressions) -> str:
    """Why the derivative has the operand's shape."""
    assert operand.node is not None
    mine, theirs, name = write.shape(operand.node), write.shape(step.node), operand.name
    if isinstance(made, Apply) and made.op is EINSUM and len(made.args) == 2:
        labels, output = split_spec(str(made.attr("spec")))
        product = _product(labels, output, made, write)
        if product:
            return f"{product}, the shape of {name}"
        return f"from {theirs}, one number for each that {name} has: {mine}"
    if operand.node.type.shape == step.node.type.shape and operand.node.type.shape is not None:
        return f"entry by entry: {step.name} and {name} are both {'numbers' if mine == 'a number' else mine}"
    if step.node.type.shape == ():
        return f"{step.name} is a number, so the derivative has the shape of {name}: {mine}"
    ranks = [len(each.type.shape or ()) for each in (operand.node, step.node)]
    if step.title in OPERATORS and (ranks[0] < ranks[1] or mine != theirs):
        return f"{name} was repeated to fill {theirs}: what its copies get is summed, back to {mine}"
    return f"from {theirs} back to the shape of {name}, {mine}"


def _product(labels: Sequence[str], output: str, made: Apply, write: Expressions) -> str:
    """``(n × k) times (k × d) is n × d``, where it is a product of two matrices, or of arrays taken for such."""
    summed = [label for label in labels[0] if label in labels[1] and label not in output]
    if not summed or not output or any(len(set(each)) < len(each) for each in labels):
        return ""
    sizes = {label: write.tidy(str(dim)) for term, arg in zip(labels, made.args, strict=True) for label, dim in zip(term, arg.type.known, strict=True)}
    batch = [sizes[label] for label in output if label in labels[0] and label in labels[1]]
    first, second = labels if next((label for label in output if label not in labels[0] or label not in labels[1]), "") in labels[0] else labels[::-1]
    rows, columns = ([sizes[label] for label in output if label in each and label not in other] for each, other in ((first, second), (second, first)))
    if batch:
        return f"for each of {' × '.join(batch)}: {_matrices(rows, columns, [sizes[label] for label in summed])}"
    return _matrices(rows, columns, [sizes[label] for label in summed])


def _matrices(rows: Sequence[str], columns: Sequence[str], summed: Sequence[str]) -> str:
    inner = " · ".join(summed)
    return f"({' × '.join([*rows, inner])}) times ({' × '.join([inner, *columns])}) is {' × '.join([*rows, *columns]) or 'a number'}"


__all__ = ["Body", "Expressions", "Formula", "body_of", "factor", "is_primitive", "leaves", "plain", "pulled", "rule_text", "shapes_fit"]
