"""A program as a diagram: a box for each operation, an array with its shape on each edge, as in figures 1.14 to 1.22 of the book.

With ``backward``, every box has the derivative at the point where it is evaluated, and gradients flow along the edges in the other direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from dsl.nodes import Apply, Input, Node
from dsl.ops.loops import LOOP, Loop, as_loop
from dsl.views.slopes import Slope
from dsl.views.steps import LOOPS, Composition, Operand, Step, short_names

# what the book calls its operations, and signs that are larger on paper than in a program
SYMBOLS = {"@": "ν", "sigmoid": "σ", "sum": "Λ", "*": "×", "/": "÷", "-": "−", "//": "⌊÷⌋", "<=": "≤", ">=": "≥", "==": "=", "!=": "≠"}
WIDEST = 30


@dataclass(frozen=True)
class Box:
    """An operation, or several in one: their ``steps``, what is applied, the same on its operands, and, where gradients flow, the derivative
    by each operand. ``title`` says all of it. ``groups`` are those that it stands in, the outermost first."""

    key: str
    steps: tuple[int, ...]
    symbol: str
    caption: str
    slopes: tuple[str, ...] = ()
    title: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Array:
    """What flows along the edges: a name, which is the user's where ``named``, and a shape; the gradient by it, or "". ``kind`` is input,
    param, inner or output."""

    key: str
    name: str
    shape: str
    kind: str = "inner"
    named: bool = True
    gradient: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arrow:
    """From an array to a box that takes it, from a box to an array that it makes. A gradient comes back along one that ``returns``; one of a
    loop says from which turn to which it goes: ``first``, ``each``, ``next``."""

    tail: str
    head: str
    returns: bool = False
    turn: str = ""


@dataclass(frozen=True)
class Group:
    """Boxes that stand in one function or loop, or that are one step written out."""

    key: str
    label: str
    steps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Diagram:
    """All of it, in the order of the program."""

    title: str
    boxes: tuple[Box, ...]
    arrays: tuple[Array, ...]
    arrows: tuple[Arrow, ...]
    groups: tuple[Group, ...]
    backward: bool = False


Slopes = Mapping[tuple[int, int], Slope]


def diagram(made: Composition, slopes: Slopes | None = None) -> Diagram:
    """The diagram of a program's steps; with gradients where ``slopes`` has the derivative of a step, by number, by an operand, by place."""
    return _Builder(made, slopes).diagram()


class _Builder:
    def __init__(self, made: Composition, slopes: Slopes | None) -> None:
        self.made, self.slopes = made, slopes
        self.shapes = _Shapes(made)
        self.loops = {span: each.title for each in made.steps if each.title in LOOPS for span in each.spans}
        self.keys: dict[Node, str] = {}
        self.turns: dict[tuple[int, Node], str] = {}
        self.boxes: dict[str, Box] = {}
        self.arrays: dict[str, Array] = {}
        self.arrows: dict[tuple[str, str], Arrow] = {}
        self.groups: dict[str, Group] = {}
        self.floats: set[str] = set()
        self.read: set[str] = set()

    def diagram(self) -> Diagram:
        for step in self.made.steps:
            self.add(step)
        for step in self.made.steps:
            if step.title in LOOPS:
                self.turn(step)
        self.outputs()
        arrays = {key: each for key, each in self.arrays.items() if key in self.read or each.kind == "output"}
        drawn = {*arrays, *self.boxes}
        arrows = [each for each in self.arrows.values() if each.tail in drawn and each.head in drawn]
        title = f"{self.made.program.stem}: {', '.join(name for name, _ in self.made.outputs)}"
        plain = Diagram(title, tuple(self.boxes.values()), tuple(arrays.values()), tuple(arrows), tuple(self.groups.values()))
        return plain if self.slopes is None else self.with_gradients(plain, self.slopes)

    def add(self, step: Step) -> None:
        """A step's box, what it is given and what it makes."""
        groups = self.groups_of(step)
        box = _box(step, groups, self.shapes)
        self.boxes[box.key] = box
        for operand in step.operands:
            if operand.node is not None:
                self.arrow(self.operand(operand, step), box.key)
        for i, node in enumerate(step.nodes):
            key = f"array-{step.number}" + (f"-{i + 1}" if i else "")
            outside = groups[: len(step.calls)]
            if node not in self.keys:
                self.keys[node] = key
                self.arrays[key] = Array(key, step.names[i], self.shapes.of(node), named=step.named or i > 0, groups=outside)
                self.floats |= {key} if node.type.dtype == "float" else set()
                self.arrow(box.key, key)

    def operand(self, operand: Operand, step: Step) -> str:
        """The key of what a step is given: made by a step before it, an argument, or what a loop's turn is given."""
        node = operand.node
        assert node is not None
        known = self.key_of(node, step)
        if known is not None:
            return known
        owner, name, shape = self.owner(node, step), operand.name, self.shapes.of(node)
        if owner is not None:
            key = f"array-{owner.number}-{name}"
            self.arrays[key] = Array(key, name, shape, groups=self.groups_of(owner))
            self.turns[owner.number, node] = key
        elif isinstance(node, Input):
            key = f"array-{name}"
            self.arrays[key] = Array(key, name, shape, "param" if name in self.made.program.wrt else "input")
            self.keys[node] = key
        else:
            # what no step of the program makes
            key = f"array-{step.number}-{name}"
            self.arrays[key] = Array(key, name, shape)
            self.keys[node] = key
        self.floats |= {key} if node.type.dtype == "float" else set()
        return key

    def key_of(self, node: Node, step: Step) -> str | None:
        """The array that a node is for a step: two loops may give their turns values of one name."""
        owner = self.owner(node, step)
        return self.turns.get((owner.number, node)) if owner else self.keys.get(node)

    def owner(self, node: Node, step: Step) -> Step | None:
        """The loop whose turns are given a value, of those that a step stands in."""
        if not (isinstance(node, Input) and node.role.startswith("loop ")):
            return None
        loops = [] if step.inside is None else [self.made.of(step.inside)]
        while loops and loops[0].inside is not None:
            loops.insert(0, self.made.of(loops[0].inside))
        depth = int(node.role.split()[1])
        return loops[depth] if depth < len(loops) else None

    def arrow(self, tail: str, head: str, turn: str = "") -> None:
        self.read.add(tail)
        self.arrows.setdefault((tail, head), Arrow(tail, head, turn=turn))

    def groups_of(self, step: Step) -> tuple[str, ...]:
        """The calls that a step stands in, outermost first; a loop stands in the group of its turns."""
        spans = [(each.name, each.span) for each in step.calls]
        inside = next((each for each in self.made.steps if each.inside == step.number), None) if step.title in LOOPS else None
        if inside:
            spans = [(each.name, each.span) for each in inside.calls[: len(spans) + 1]]
        keys = []
        for name, span in spans:
            key = f"group-{PurePath(span.source.name).stem}-{span.start}-{name}"
            looped = self.loops.get(span)
            self.groups.setdefault(key, Group(key, f"{looped}: {name}" if looped else name))
            keys.append(key)
        return tuple(keys)

    def turn(self, step: Step) -> None:
        """How a loop's arguments enter its turns, and how one turn goes over into the next."""
        box = f"step-{step.number}"
        made = _loop(step)
        if made is not None:
            for inner, outer in zip(made.turn.carries, made.initial, strict=True):
                self.enter(outer, inner, "first", step)
                if key := self.turns.get((step.number, inner)):
                    self.arrow(box, key, "next")
            for inner, outer in zip(made.turn.elements, made.sequences, strict=True):
                self.enter(outer, inner, "each", step)
        elif step.title == "map":
            self.rows(step)
        inside = {f"step-{each.number}" for each in self.made.steps if each.inside == step.number}
        for end in [head for tail, head in self.arrows if tail in inside and head not in self.read]:
            self.arrow(end, box)

    def rows(self, step: Step) -> None:
        """What a batched function is given, where the shapes tell which sequence it comes from."""
        sequences = [each.node for each in step.operands if each.node is not None]
        for (number, inner), _ in list(self.turns.items()):
            fitting = [each for each in sequences if (each.type.shape or ())[1:] == inner.type.shape]
            if number == step.number and isinstance(inner, Input) and len(fitting) == 1:
                self.enter(fitting[0], inner, "each", step)

    def enter(self, outer: Node, inner: Input, turn: str, step: Step) -> None:
        given, taken = self.key_of(outer, step), self.turns.get((step.number, inner))
        if given and taken:
            self.arrows.pop((given, f"step-{step.number}"), None)
            self.arrow(given, taken, turn)

    def outputs(self) -> None:
        """The arrays that the program gives out."""
        makers = dict(self.made.outputs)
        for key, array in self.arrays.items():
            number = makers.get(array.name)
            if number is not None and (f"step-{number}", key) in self.arrows:
                self.arrays[key] = replace(array, kind="output")

    def with_gradients(self, plain: Diagram, slopes: Slopes) -> Diagram:
        """The gradient by each array through which a parameter acts on the first output."""
        program = self.made.program
        first = next((name for name, node in program.written.outputs if node.type.dtype == "float"), "")
        blocked = {f"step-{each.number}" for each in self.made.steps if each.title == "stop_gradient"}
        ahead = [(each.tail, each.head) for each in plain.arrows if each.tail not in blocked and (each.tail in self.boxes or each.tail in self.floats)]
        starts = [each.key for each in plain.arrays if each.name in program.wrt and each.kind == "param"]
        ends = [each.key for each in plain.arrays if each.name == first and each.kind == "output"]
        active = _reached(starts, ahead) & _reached(ends, [(head, tail) for tail, head in ahead])
        arrays = [replace(each, gradient=_gradient(first, each) if each.key in active & self.floats else "") for each in plain.arrays]
        arrows = [replace(each, returns={each.tail, each.head} <= active and each.turn != "next") for each in plain.arrows]
        boxes = [self.with_slopes(each, slopes, active, first) for each in plain.boxes]
        return replace(plain, arrays=tuple(arrays), arrows=tuple(arrows), boxes=tuple(boxes), backward=True)

    def with_slopes(self, box: Box, slopes: Slopes, active: set[str], first: str) -> Box:
        step = self.made.of(box.steps[0])
        if box.key not in active or step.title in LOOPS:
            return box
        found: list[str] = []
        for i, operand in enumerate(step.operands):
            if operand.node is not None and self.key_of(operand.node, step) in active & self.floats:
                slope = slopes.get((step.number, i))
                head = f"∂{step.name if slope is None or slope.local else first}/∂{operand.name}"
                found.append(head if slope is None else f"{head} = {slope.text}")
        return replace(box, slopes=tuple(dict.fromkeys(found)))


def _loop(step: Step) -> Loop | None:
    """The loop that a step's results are parts of."""
    node = step.node
    while isinstance(node, Apply) and node.op is not LOOP and node.args:
        node = node.args[0]
    return as_loop(node) if isinstance(node, Apply) and node.op is LOOP else None


def _gradient(first: str, array: Array) -> str:
    return f"∂{first}/∂{array.name}" + (" = 1" if array.name == first and array.kind == "output" else "")


def _reached(starts: Iterable[str], edges: Sequence[tuple[str, str]]) -> set[str]:
    following: dict[str, list[str]] = {}
    for tail, head in edges:
        following.setdefault(tail, []).append(head)
    stack, reached = list(starts), set(starts)
    while stack:
        for each in following.get(stack.pop(), ()):
            if each not in reached:
                reached.add(each)
                stack.append(each)
    return reached


def _box(step: Step, groups: tuple[str, ...], shapes: _Shapes) -> Box:
    symbol = SYMBOLS.get(step.title, step.title)
    caption = step.text.removeprefix(step.title) if symbol == step.title and step.text.startswith(f"{step.title}(") else step.text
    said = f"step {step.number}, line {step.line.number}: {step.name} = {step.text}, {shapes.of(step.node)}"
    return Box(f"step-{step.number}", (step.number,), symbol, shortened(caption), title=said, groups=groups)


def shortened(caption: str, widest: int = WIDEST) -> str:
    """A caption that fits its box."""
    return caption if len(caption) <= widest else f"{caption[: widest - 1]}…"


class _Shapes:
    """Shapes as a person writes them."""

    def __init__(self, made: Composition) -> None:
        self.letters = short_names(made)

    def of(self, node: Node) -> str:
        shown = str(node.type)
        for name, letter in self.letters.items():
            shown = shown.replace(name, letter)
        return shown.replace("[...]", "[…]")
