"""The derivation of a program's gradients, step by step, as data: what ``gradc explain`` writes in each of its forms.

The function as a composition, the chain rule along every way from an argument to the output, and for each step, from the last to the first,
the derivative by each operand: the rule, the shapes, the formula, what the compiler makes of it, and the line of code that it becomes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import count

from dsl.diagnostics import DslError, Source
from dsl.emit.latex import escaped, identifier
from dsl.nodes import Apply, Input, Node, Rewrite, argument, const, substituted, topological
from dsl.ops.core import add
from dsl.pipeline import Compiled
from dsl.types import ShapeError
from dsl.views.code import Listing, listing
from dsl.views.local import DERIVATIVES, Expressions, Formula, body_of, factor, is_primitive, leaves, pulled, rule_text, shapes_fit
from dsl.views.rewrites import simplified
from dsl.views.steps import LOOPS, Composition, Operand, Step, composition, short_names

MOST_WAYS = 6
FARTHEST = 40
MOST_LINES = 8
LONGEST = 280
LONG = 16
LINE = 90


@dataclass(frozen=True)
class Change:
    """An identity that simplified a formula, by name."""

    name: str
    before: Formula
    after: Formula


@dataclass(frozen=True)
class Local:
    """The derivative of a step by one operand.

    ``factor`` is it alone, with how the cotangent is multiplied by it, where it is one factor; ``product`` what the rule makes of the cotangent;
    ``simple`` what is left once ``changes`` have simplified it, ``parts`` what its short names stand for. ``terms`` is how many such products the
    operand's derivative is the sum of.
    """

    step: Step
    operand: str
    rule: str
    shapes: str
    factor: tuple[Formula, str] | None
    product: Formula | None
    simple: Formula | None
    changes: tuple[Change, ...]
    parts: tuple[tuple[Formula, Formula], ...]
    terms: int
    code: tuple[str, ...]


@dataclass(frozen=True)
class Factor:
    """The derivative of a result of a step by what the step is given."""

    step: int
    above: str
    below: str


@dataclass(frozen=True)
class Chain:
    """The derivative of the output by an argument as products of local ones, one for each way from the output back to it; none where they are
    more than a page holds. ``parts`` is the equation, each part with the sign before it, at the end the gradient as one formula where a line holds it."""

    argument: str
    ways: tuple[tuple[Factor, ...], ...]
    parts: tuple[tuple[str, Formula], ...]


@dataclass(frozen=True)
class StepView:
    """A step, its formula, what that is made of where it is more than one operation, its shape, and the lines of forward that compute it."""

    step: Step
    formula: Formula
    made: Formula | None
    shape: str
    code: tuple[str, ...]


@dataclass(frozen=True)
class Derivation:
    """Everything that an explanation says of a program. ``sizes`` says what a dimension's short name stands for; ``seed`` is the output's cotangent,
    ``arrayed`` whether the output is an array, ``others`` the other float outputs."""

    title: str
    docstring: str
    source: Source
    compiled: Compiled
    composition: Composition
    listing: Listing
    output: str
    nested: Formula
    sizes: tuple[tuple[str, str], ...]
    arguments: tuple[tuple[str, str, bool], ...]
    steps: tuple[StepView, ...]
    chains: tuple[Chain, ...]
    locals: tuple[Local, ...]
    rewrites: tuple[Rewrite, ...]
    seed: Formula
    arrayed: bool
    others: tuple[str, ...]


def derivation(compiled: Compiled, source: Source) -> Derivation:
    """The derivation of a compiled program's first float output."""
    return _Deriving(compiled, source).derivation()


class _Deriving:
    """One walk over the steps, from the last to the first."""

    def __init__(self, compiled: Compiled, source: Source) -> None:
        self.compiled, self.source = compiled, source
        self.program = compiled.program
        self.steps = composition(self.program)
        self.code = listing(compiled, self.steps)
        self.output = self.program.cotangents[0][0]
        self.number = dict(self.steps.outputs)[self.output]
        self.dims = short_names(self.steps)
        self.write = Expressions(self.dims)
        self.reads = {step.number: _operands(step, self.steps) for step in self.steps.steps}
        self.varying = self._varying()
        self.active = self._active()
        self.readers: dict[str, list[int]] = {}
        for number in sorted(self.active):
            own = {each.name for each in self.steps.of(number).operands}
            loops = self.steps.of(number).title in LOOPS
            for name in dict.fromkeys(each.name for each in self.reads[number] if self._varies(each) and (each.name in own or not loops)):
                self.readers.setdefault(name, []).append(number)
        self.cotangents: dict[str, list[Node | None]] = {}
        self.values: dict[Node, Formula] = {}
        self.taken = {*(name for step in self.steps.steps for name in step.names), *(each.name for each in self.steps.arguments), *self.dims.values()}

    def derivation(self) -> Derivation:
        found = tuple(self._locals())
        return Derivation(
            self.program.stem,
            self.program.docstring,
            self.source,
            self.compiled,
            self.steps,
            self.code,
            self.output,
            self._nested(),
            tuple((short, long) for long, short in self.dims.items()),
            tuple((each.name, self.write.shape(each), each.name in self.program.wrt) for each in self.steps.arguments),
            tuple(self._view(step) for step in self.steps.steps),
            tuple(self._chain(name) for name in self.program.wrt),
            found,
            self.program.rewrites,
            self._seed(),
            dict(self.program.outputs)[self.output].type.shape != (),
            tuple(name for name, _ in self.program.cotangents[1:]),
        )

    # what depends on what -------------------------------------------------------------------------------------------

    def _varies(self, operand: Operand) -> bool:
        """Whether an argument that is differentiated by acts through an operand."""
        if operand.node is None or operand.node.type.dtype != "float":
            return False
        if operand.step is not None:
            return operand.step in self.varying
        return operand.name in self.program.wrt or (isinstance(operand.node, Input) and operand.node.role.startswith("loop"))

    def _varying(self) -> set[int]:
        found: set[int] = set()
        self.varying = found
        for step in self.steps.steps:
            if step.node.type.dtype == "float" and step.title != "stop_gradient" and any(map(self._varies, self.reads[step.number])):
                found.add(step.number)
        return found

    def _active(self) -> set[int]:
        """The varying steps that the output is made of."""
        found: set[int] = set()
        stack = [] if self.number is None else [self.number]
        while stack:
            number = stack.pop()
            if number in self.varying and number not in found:
                found.add(number)
                stack += [each.step for each in self.reads[number] if each.step is not None]
                inner = [step for step in self.steps.steps if step.inside == number]
                read = {operand.step for step in inner for operand in step.operands}
                stack += [step.number for step in inner if step.number not in read]
        return found

    # formulas -------------------------------------------------------------------------------------------------------

    def _partial(self, above: str, below: str) -> Formula:
        return Formula(rf"\frac{{\partial {identifier(above)}}}{{\partial {identifier(below)}}}", f"∂{above}/∂{below}")

    def _seed(self) -> Formula:
        return Formula(rf"\mathit{{d{escaped(self.output)}}}", f"d{self.output}")

    def _view(self, step: Step) -> StepView:
        body = body_of(step)
        node = body.results[0]
        code = self.code.shown(self.code.forward.get(step.number, ()))
        if isinstance(node, Apply) and node.op.alias and node.op.params:
            return StepView(step, Formula(self.write.formula(node, {}).latex, step.text), self._short(node.args[0]), self.write.shape(step.node), code)
        made = self._short(node) if step.title not in LOOPS and len(body.results) == 1 else None
        if made is None or (step.title.isidentifier() and not is_primitive(node)):
            shown = ", ".join(identifier(each.name) if each.name.isidentifier() else rf"\text{{{escaped(each.name)}}}" for each in step.operands)
            formula, whole = Formula(rf"\operatorname{{{escaped(step.title)}}}({shown})", step.text), made
        else:
            formula, whole = Formula(made.latex, step.text), None
        return StepView(step, formula, whole, self.write.shape(step.node), code)

    def _short(self, node: Node) -> Formula | None:
        """A formula that a line or two hold."""
        made = self.write.formula(node, {})
        return made if len(made.latex) <= LONGEST else None

    def _nested(self) -> Formula:
        """The function as one expression over its arguments: L = Λ(σ(ν(X, W))) with the names of the source, as long as that can be read."""
        if self.number is None:
            return Formula(identifier(self.output), self.output)
        step = self.steps.of(self.number)
        found = self.write.formula(step.node, {}) if step.title not in LOOPS else None
        if found is None or len(found.latex) > LONGEST or r"\operatorname{loop}" in found.latex:
            return Formula("", "")
        return found

    def _chain(self, name: str) -> Chain:
        ways = self._ways(name)
        whole = self._partial(self.output, name)
        if ways:
            closed = self._closed(name)
            products = [[self._partial(each.above, each.below) for each in way] for way in ways]
            return Chain(name, ways, (*_equation(whole, products), *([("=", closed)] if closed else [])))
        results = [each for number in self.readers.get(name, ()) for each in self.steps.of(number).names if each in self.readers or each == self.output]
        products = [[self._partial(self.output, each), self._partial(each, name)] for each in results]
        return Chain(name, (), _equation(whole, products) if products else (("", whole), ("=", Formula("0", "0"))))

    def _closed(self, name: str) -> Formula | None:
        """The gradient as one formula over the steps' values, where a line holds it."""
        known: dict[Node, Node] = {argument(f"d{self.output}", "cotangent", self.steps.of(self.number or 1).node.type): const(1.0)}
        if next(iter(known)).type.shape != ():
            return None
        for each, parts in self.cotangents.items():
            total = [part for part in parts if part is not None]
            if each == self.output or any(operand.name == each and operand.step is None for reads in self.reads.values() for operand in reads):
                continue
            if not total or len(total) < len(self.readers.get(each, ())):
                return None
            whole = reduce(add, total)
            known[argument(f"d{self.output}_d{each}", "cotangent", whole.type)] = substituted([whole], known)[whole]
        mine = [part for part in self.cotangents.get(name, ()) if part is not None]
        if not mine or len(mine) < len(self.readers.get(name, ())):
            return None
        total_node = substituted([reduce(add, mine)], known)[reduce(add, mine)]
        if any(isinstance(node, Input) and node.role == "cotangent" for node in topological([total_node])):
            return None
        simple, _ = simplified(total_node, {node: node for node in self.values})
        shown = self.write.formula(simple, self.values)
        return shown if len(shown.plain) < LINE else None

    def _ways(self, name: str) -> tuple[tuple[Factor, ...], ...]:
        """Every way from the output back to a value."""
        if self.number is None or self.number not in self.active:
            return ()
        names = self.steps.of(self.number).names
        found: list[tuple[Factor, ...]] = []
        stack = self._onwards((), self.number, self.output if self.output in names else names[0])
        for tried in count():
            if not stack or len(found) > MOST_WAYS or tried > 2000:
                break
            way, onto = stack.pop()
            if len(way) > FARTHEST:
                return ()
            if way[-1].below == name:
                found.append(way)
            if onto in self.active and onto is not None:
                stack += self._onwards(way, onto, way[-1].below)
        return tuple(found) if not stack and len(found) <= MOST_WAYS else ()

    def _onwards(self, way: tuple[Factor, ...], number: int, above: str) -> list[tuple[tuple[Factor, ...], int | None]]:
        """A way with each step further, the first operand's last, and the step that makes that operand."""
        operands = [each for each in reversed(self.reads[number]) if self._varies(each) and all(each.step != one.step for one in way)]
        return [((*way, Factor(number, above, each.name)), each.step) for each in operands]

    # backwards ------------------------------------------------------------------------------------------------------

    def _locals(self) -> Iterable[Local]:
        if self.number is None or self.number not in self.active:
            return
        output = self.steps.of(self.number)
        self.cotangents[output.name] = [argument(f"d{self.output}", "cotangent", output.node.type)]
        for step in reversed(self.steps.steps):
            if step.number in self.active:
                yield from self._of(step)

    def _of(self, step: Step) -> Iterable[Local]:
        incoming = [self._incoming(name, node) for name, node in zip(step.names, step.nodes, strict=True)]
        wanted = {each.name: each for each in self.reads[step.number] if self._varies(each)}
        for name, operand in wanted.items():
            yield self._local(step, operand, incoming, len(self.readers.get(name, ())))

    def _incoming(self, name: str, node: Node) -> Node | None:
        """What reverse mode brings to a value: the sum of what its readers gave, under a symbol of its own unless it is simple."""
        parts = [each for each in self.cotangents.get(name, ()) if each is not None]
        if not parts:
            return None if name in self.cotangents else argument(f"d{self.output}_d{name}", "cotangent", node.type)
        total = reduce(add, parts)
        plain = isinstance(total, Input) or (isinstance(total, Apply) and total.op.name in ("spread", "broadcast_to", "negative") and len(parts) == 1)
        return total if plain else argument(f"d{self.output}_d{name}", "cotangent", node.type)

    def _local(self, step: Step, operand: Operand, incoming: Sequence[Node | None], terms: int) -> Local:
        code = self._code(step, operand)
        assert operand.node is not None
        body = body_of(step)
        made: Node | None = None
        known = False
        if step.title not in LOOPS and operand.node in body.given:
            try:
                made, known = pulled(body, operand.node, incoming), True
            except (DslError, ShapeError):
                known = False
        if not known:
            shapes = f"the shape of {operand.name}: {self.write.shape(operand.node)}"
            return Local(step, operand.name, _of_whole(step), shapes, None, None, None, (), (), terms, code)
        names = {**body.names, **self._symbols(incoming)}
        self.values.update(body.names)
        rule = rule_text(step, operand, body)
        self.cotangents.setdefault(operand.name, []).append(made)
        if made is None:
            zero = Formula(r"\mathbf{0}", "0")
            return Local(step, operand.name, rule, f"zeros in the shape of {operand.name}", None, zero, zero, (), (), terms, code)
        whole = {node: node for node in body.results}
        simple, applied = simplified(made, {**whole, **{node: node for node in names}})
        self.cotangents[operand.name][-1] = simple
        write = self.write.formula
        parts = self._parts(simple, names, [node for node in topological(body.results) if node not in body.results])
        short = {**names, **{node: symbol for node, (symbol, _) in parts.items()}}
        changes = {each.name: Change(each.name, write(each.before, short), write(each.after, short)) for each in reversed(applied)}
        told = [each for each in reversed(changes.values()) if each.before.plain != each.after.plain]
        one = is_primitive(body.results[0])
        shown, final = write(made if one else simple, short), write(simple, short)
        found = factor(body, operand.node, lambda node: write(node, {**short, **body.names}))
        shapes = shapes_fit(step, operand, simple, self.write)
        return Local(step, operand.name, rule, shapes, found, shown, final, tuple(told) if one else (), tuple(parts.values()), terms, code)

    def _parts(self, made: Node, names: Mapping[Node, Formula], inner: Iterable[Node]) -> dict[Node, tuple[Formula, Formula]]:
        """Short names for what a formula would say at length: a step's own parts, and what it says twice."""
        own = set(inner)
        order = topological([made], names)
        uses = Counter(arg for node in order for arg in node.args)
        roots = {arg for node in order if node not in own for arg in node.args if arg in own}
        letters = (each for each in "uvstrqpabcdefgh" if each not in self.taken)
        found: dict[Node, tuple[Formula, Formula]] = {}
        for node in order:
            known = {**names, **{each: symbol for each, (symbol, _) in found.items()}}
            wanted = isinstance(node, Apply) and node is not made and node not in names and (node in roots or uses[node] > 1)
            if wanted and len((text := self.write.formula(node, known)).plain) > LONG:
                letter = next(letters, "")
                if letter:
                    found[node] = (Formula(letter, letter), text)
        return found

    def _code(self, step: Step, operand: Operand) -> tuple[str, ...]:
        """The lines of backward that make an operand's derivative, those of this step if some are its own."""
        lines = self.code.backward.get(operand.name, ())
        own = [number for number in lines if step.number in self.code.steps.get(number, ())]
        shown = self.code.shown(own or lines)
        return shown if len(shown) <= MOST_LINES else (*shown[:MOST_LINES], "…")

    def _symbols(self, incoming: Iterable[Node | None]) -> dict[Node, Formula]:
        """Cotangents as the derivatives that they are."""
        found: dict[Node, Formula] = {}
        stack = [each for each in incoming if each is not None]
        while stack:
            each = stack.pop()
            if isinstance(each, Input) and each.role == "cotangent":
                below = each.name.removeprefix(f"d{self.output}").removeprefix("_d")
                found[each] = self._partial(self.output, below) if below else self._seed()
            stack += each.args
        return found


def _of_whole(step: Step) -> str:
    return f"{step.title}: the loop runs the other way, and takes the derivative back through each turn"


def _operands(step: Step, steps: Composition) -> tuple[Operand, ...]:
    """What a step depends on: a loop on what its turns read from outside, too, a derivative on the variable and what its function is made of."""
    if step.title in DERIVATIVES:
        return tuple(Operand(name, None, node) for name, node in leaves(step))
    found = [each for each in step.operands if each.node is not None]
    if step.title in LOOPS:
        inner = [each for each in steps.steps if each.inside == step.number]
        made = {name for each in inner for name in each.names}
        found += [
            each
            for one in inner
            for each in one.operands
            if each.node is not None and each.name not in made and not (isinstance(each.node, Input) and each.node.role.startswith("loop"))
        ]
    return tuple({each.name: each for each in found}.values())


def _equation(left: Formula, products: Sequence[Sequence[Formula]]) -> tuple[tuple[str, Formula], ...]:
    terms = [Formula(r" \cdot ".join(each.latex for each in term), " · ".join(each.plain for each in term)) for term in products]
    if terms == [left]:
        return (("", left),)
    return (("", left), *(("+" if i else "=", term) for i, term in enumerate(terms)))


__all__ = ["Chain", "Change", "Derivation", "Factor", "Local", "StepView", "derivation"]
