"""An explanation as a document: headings, paragraphs, formulas, tables and code, each with the step that it belongs to. The forms print it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dsl.emit.latex import identifier
from dsl.views.derivation import Derivation, Local, StepView
from dsl.views.local import Formula

Inline = str | Formula
RULE, SHAPES, CODE = "Rule", "Shapes", "Code"


@dataclass(frozen=True)
class Heading:
    level: int
    words: tuple[Inline, ...]
    step: int | None = None


@dataclass(frozen=True)
class Paragraph:
    """Words with formulas among them; ``label`` says what kind of remark it is."""

    words: tuple[Inline, ...]
    label: str = ""
    step: int | None = None


@dataclass(frozen=True)
class Display:
    """A formula on a line of its own: its parts, each with the sign before it."""

    parts: tuple[tuple[str, Formula], ...]
    step: int | None = None
    after: str = ""

    @property
    def plain(self) -> str:
        return " ".join(f"{sign} {part.plain}".strip() for sign, part in self.parts)

    @property
    def latex(self) -> str:
        return " ".join(f"{sign} {part.latex}".strip() for sign, part in self.parts)


def equal(*sides: Formula, step: int | None = None, after: str = "") -> Display:
    return Display(tuple(("=" if i else "", side) for i, side in enumerate(sides)), step, after)


@dataclass(frozen=True)
class Table:
    head: tuple[str, ...]
    rows: tuple[tuple[tuple[Inline, ...], ...], ...]
    steps: tuple[int | None, ...] = field(default=())


@dataclass(frozen=True)
class Code:
    language: str
    lines: tuple[str, ...]
    step: int | None = None


Block = Heading | Paragraph | Display | Table | Code


def symbol(name: str) -> Formula:
    return Formula(identifier(name), name)


def quotient(above: str, below: str) -> Formula:
    return Formula(rf"\frac{{\partial {identifier(above)}}}{{\partial {identifier(below)}}}", f"∂{above}/∂{below}")


def document(found: Derivation) -> Iterator[Block]:
    """The whole explanation, in the order in which it is read."""
    yield Heading(1, (found.title,))
    if found.docstring:
        yield Paragraph((" ".join(found.docstring.split()),))
    yield Code("expr", tuple(found.source.text.rstrip("\n").split("\n")))
    yield Heading(2, ("The function, step by step",))
    yield from function(found)
    yield Heading(2, ("The chain rule",))
    yield from chain_rule(found)
    yield Heading(2, ("Each derivative, from the last step to the first",))
    yield from derivatives(found)
    yield Heading(2, ("The generated code",))
    for name in ("forward", "backward"):
        yield Code("python", code_of(found, name))


def function(found: Derivation) -> Iterator[Block]:
    """The arguments with their shapes, the composition, and each step."""
    words = ", ".join(f"{name} is {'of any shape' if shape == 'any shape' else shape}" for name, shape, _ in found.arguments)
    sizes = ", ".join(f"{short} = {long}" for short, long in found.sizes)
    yield Paragraph((f"{words}{f'; {sizes}' if sizes else ''}.",))
    if found.nested.latex and len(found.steps) > 1:
        yield equal(symbol(found.output), found.nested)
    rows = tuple(((str(each.step.number),), _equals(each), (each.shape,)) for each in found.steps)
    yield Table(("step", "operation", "shape"), rows, tuple(each.step.number for each in found.steps))
    for each in found.rewrites:
        place = f"Line {each.line.number}: " if each.line else ""
        yield Paragraph((f"{place}{each.before} is computed as {each.after}, which is never less accurate.",), "Rewritten")


def _equals(each: StepView) -> tuple[Inline, ...]:
    names = ", ".join(identifier(name) for name in each.step.names)
    return (Formula(f"{names} = {each.formula.latex}", f"{', '.join(each.step.names)} = {each.formula.plain}"),)


def chain_rule(found: Derivation) -> Iterator[Block]:
    """The derivative by each argument as a product of local ones along every way."""
    if found.arrayed:
        counted = " is what its entries count for, by default 1 each; then these are the derivatives of its sum."
        yield Paragraph((f"{found.output} is an array: ", found.seed, counted))
    if found.others:
        names = " and ".join(found.others)
        yield Paragraph((f"These are the derivatives of {found.output}. A cotangent for {names} goes backwards in the same way, and is added.",))
    for each in found.chains:
        if len(each.parts) > 1:
            yield Display(each.parts)
        else:
            yield Paragraph((quotient(found.output, each.argument), " is the derivative of one step."))


def derivatives(found: Derivation) -> Iterator[Block]:
    """For each step its derivative by each operand that something is differentiated by."""
    views = {each.step.number: each for each in found.steps}
    number = None
    for each in found.locals:
        if each.step.number != number:
            number = each.step.number
            yield Heading(3, (f"{number}. ", *_equals(views[number])), number)
            if (made := views[number].made) is not None:
                yield equal(views[number].formula, made, step=number)
        yield from _local(found, each)


def _local(found: Derivation, each: Local) -> Iterator[Block]:
    number = each.step.number
    own = quotient(each.step.name, each.operand)
    if each.factor is not None:
        yield equal(own, each.factor[0], step=number, after=each.factor[1])
    whole = quotient(found.output, each.operand)
    if each.product is not None and each.simple is not None and (each.step.name != found.output or each.factor is None):
        sides = (each.product,) if each.product.plain == each.simple.plain else (each.product, each.simple)
        term = f"one of {each.terms} terms of the sum" if each.terms > 1 else ""
        yield equal(whole, *sides, step=number, after=term)
    if each.parts:
        words: list[Inline] = ["where "]
        for i, (short, long) in enumerate(each.parts):
            words += [", " * (i > 0), Formula(f"{short.latex} = {long.latex}", f"{short.plain} = {long.plain}")]
        yield Paragraph(tuple(words), step=number)
    yield Paragraph((each.rule,), RULE, number)
    yield Paragraph((each.shapes,), SHAPES, number)
    for change in each.changes:
        arrow = Formula(rf"{change.before.latex} \;\to\; {change.after.latex}", f"{change.before.plain} -> {change.after.plain}")
        yield Paragraph((f"{change.name}: ", arrow), "Simplified", number)
    if each.code:
        yield Code("python", each.code, number)


def code_of(found: Derivation, name: str) -> tuple[str, ...]:
    """A generated function as it stands in the module."""
    return tuple(found.listing.lines[number - 1] for number in found.listing.functions[name])


__all__ = ["Block", "Code", "Display", "Heading", "Inline", "Paragraph", "Table", "chain_rule", "derivatives", "document", "function", "quotient"]
