"""A program as finished strings: what the template prints, and nothing that it would have to decide."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from dsl.nodes import Apply, Const, Declared, Input, Node, Program, topological
from dsl.ops.spec import SUM, Text
from dsl.types import Dim

RESERVED = {"np", "tape", "Tape", "Gradients", "Outputs", "NamedTuple", "Any", "NDArray", "forward", "backward", "value", "value_and_grad", "dtype"}
INLINE_WIDTH = 60


@dataclass(frozen=True)
class Field:
    name: str
    type: str


@dataclass(frozen=True)
class ClassView:
    name: str
    docstring: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class FunctionView:
    name: str
    arguments: str
    result: str
    docstring: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class ModuleView:
    """Everything the template prints."""

    docstring: str
    helpers: tuple[str, ...]
    classes: tuple[ClassView, ...]
    functions: tuple[FunctionView, ...]


@dataclass
class Names:
    """Names for nodes: the user's where there is one, else one made from the operation."""

    taken: set[str]
    chosen: dict[Node, str] = field(default_factory=dict)

    def give(self, node: Node, wish: str) -> str:
        name, count = wish, 1
        while name in self.taken:
            count += 1
            name = f"{wish}_{count}"
        self.taken.add(name)
        self.chosen[node] = name
        return name


class Body:
    """Statements of one function, printed in order: an operation a line, small arithmetic put into the line that uses it."""

    def __init__(self, names: Names, uses: Counter[Node], keep: set[Node], program: Program) -> None:
        self.names, self.uses, self.keep, self.program = names, uses, keep, program
        self.texts: dict[Node, Text] = {}
        self.lines: list[str] = []
        self.sizes: dict[str, None] = {}
        self.needs_dtype = False
        self.comment = ""

    @property
    def dtype(self) -> str:
        self.needs_dtype = True
        return "dtype"

    def dim(self, dim: Dim) -> str:
        for symbol in dim.symbols():
            self.sizes[symbol.name] = None
        return re.sub(r"(\w+)\.shape\[(\d+)\]", r"\1.shape[\2]", dim.text())

    def shape(self, node: Node) -> str:
        if node.type.shape is not None:
            parts = [self.dim(each) for each in node.type.shape]
            return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        return f"{self.texts[node].at(7)}.shape"

    def bind(self, node: Node, text: str) -> None:
        self.texts[node] = Text(text)

    def emit(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if node in self.texts:
                continue
            if isinstance(node, Const):
                self.texts[node] = _number(node)
            elif isinstance(node, Apply):
                self._step(node)

    def _step(self, node: Apply) -> None:
        text = node.op.emit(node, [self.texts[arg] for arg in node.args], self)
        if self._inlines(node, text):
            self.texts[node] = text
            return
        name = self.names.chosen.get(node) or self.names.give(node, _wish(node, self.texts))
        line = self.program.lines.get(node)
        comment = f"# {line.text}" if line is not None else ""
        if comment and comment != self.comment:
            self.lines.append(comment)
            self.comment = comment
        self.lines.append(f"{name} = {text.text}")
        self.texts[node] = Text(name)

    def _inlines(self, node: Apply, text: Text) -> bool:
        if node in self.keep or node in self.program.names or node.op.name in ("stop_gradient",):
            return node.op.name == "stop_gradient" and node not in self.program.names
        if node.op.name in ("dimension", "size"):
            return True
        if self.uses[node] > 1 or not node.op.elementwise or text.level > 6 or len(text.text) > INLINE_WIDTH:
            return node.type.shape == () and node.type.weak and self.uses[node] <= 1
        return True


def _number(node: Const) -> Text:
    value = node.value
    if isinstance(value, float) and value != value:
        return Text("np.nan")
    if isinstance(value, float) and abs(value) == float("inf"):
        return Text("np.inf" if value > 0 else "-np.inf", 7 if value > 0 else 5)
    return Text(repr(value), SUM if value < 0 else 7)


def _wish(node: Apply, texts: dict[Node, Text]) -> str:
    """A readable name for a step: ``X_W`` for a product of two names, else the operation's."""
    simple = [texts[arg].text for arg in node.args if texts[arg].text.isidentifier()]
    if node.op.name == "einsum" and len(simple) == 2 and all(len(each) < 9 for each in simple):
        return "_".join(simple)
    base = {"einsum": "product", "multiply": "scaled", "add": "total", "subtract": "difference", "divide": "ratio", "power": "powered"}
    name = base.get(node.op.name, node.op.name)
    return f"{name}_{simple[0]}" if len(simple) == 1 and len(simple[0]) < 9 and not simple[0].startswith("d") else f"{name}_1"


def _annotation(node: Node) -> str:
    return "Any" if node.type.shape == () else "NDArray[Any]"


def view(program: Program, version: str) -> ModuleView:
    """The module of a differentiated program."""
    value_nodes = topological(node for _, node in program.outputs)
    forward_set = set(value_nodes)
    seeds = {node for _, node in program.cotangents}
    every = topological(program.roots)
    backward_nodes = [node for node in every if node not in forward_set and node not in seeds]
    saved: dict[Node, None] = {}
    for node in backward_nodes:
        for arg in node.args:
            if arg in forward_set and not isinstance(arg, Const) and not _free(arg):
                saved[arg] = None
    gradients = [node for _, node in program.gradients]
    for node in gradients:
        if node in forward_set and not isinstance(node, Const):
            saved[node] = None
    names = Names(RESERVED | {each.node.name for each in program.arguments} | {node.name for _, node in program.cotangents})
    names.taken |= set(program.names.values()) | {name for name, _ in program.outputs}
    taken: set[str] = set()
    for node, name in program.names.items():
        if name not in taken:
            names.chosen[node] = name
            taken.add(name)
    uses: Counter[Node] = Counter(arg for node in every for arg in node.args)
    forward = Body(names, uses, set(saved) | {node for _, node in program.outputs}, program)
    _bind_inputs(forward, program)
    forward.emit(value_nodes)
    tape = [Field(names.chosen.get(node) or _name_of(node), _annotation(node)) for node in saved]
    back = Body(names, uses, set(gradients), program)
    back.comment = ""
    for node, each in zip(saved, tape, strict=True):
        back.bind(node, each.name)
    for _, seed in program.cotangents:
        back.bind(seed, seed.name)
    back.emit(node for node in every if node not in forward_set or isinstance(node, Const) or _free(node))
    sizes, extra = _sizes(back, saved, names)
    tape += [each for each in extra if each not in tape]
    head = _checks(program, forward, [name.name for name in extra])
    unpack = [f"{each.name} = tape.{each.name}" for each in tape]
    dtype_fields = []
    if back.needs_dtype:
        dtype_fields = [Field("dtype", "Any")]
        forward.needs_dtype = True
        unpack.append("dtype = tape.dtype")
    tape += dtype_fields
    if forward.needs_dtype:
        floats = [each.node.name for each in program.arguments if each.node.type.dtype == "float" and each.node.role != "const"]
        head.append(f"dtype = np.result_type({', '.join(floats)})" if floats else "dtype = np.dtype(np.float64)")
    results = [forward.texts[node].text for _, node in program.outputs]
    single = len(results) == 1
    result = results[0] if single else f"Outputs({', '.join(results)})"
    back_lines = unpack + sizes + _default_seeds(program, back) + back.lines
    back_lines.append(f"return Gradients({', '.join(_fresh(back, node, saved) for node in gradients)})")
    made = [f"tape = Tape({', '.join(each.name for each in tape)})"]
    first = program.cotangents[0][0]
    seeds_text = ", ".join(
        [f"{s.name}: Any = 1.0" if i == 0 else f"{s.name}: Any = None" for i, (_, s) in enumerate(program.cotangents)]
    )
    arguments = _signature(program)
    passed = ", ".join(
        [each.node.name for each in program.arguments if each.node.role != "const"]
        + [f"{each.node.name}={each.node.name}" for each in program.arguments if each.node.role == "const"]
    )
    text = "\n".join(forward.lines + back_lines)
    scalar = dict(program.outputs)[first].type.shape == () and program.outputs[0][0] == first
    outputs = tuple(Field(name, _annotation(node)) for name, node in program.outputs)
    return_type = outputs[0].type if single else "Outputs"
    classes = [ClassView("Tape", "Exactly what backward needs.", tuple(tape))]
    classes.append(ClassView("Gradients", "A gradient per name.", tuple(Field(name, _annotation(node)) for name, node in program.gradients)))
    if not single:
        classes.append(ClassView("Outputs", "What forward returns.", outputs))
    shapes = _shapes(program)
    functions = [
        FunctionView("forward", arguments, f"tuple[{return_type}, Tape]", f"{_heading(program)}\n\n{shapes}\n", tuple(head + forward.lines + made + [f"return {result}, tape"])),
        FunctionView("backward", f"tape: Tape, {seeds_text}", "Gradients", "The gradients, from the outputs' cotangents.", tuple(back_lines)),
        FunctionView("value", arguments, return_type, "What forward returns, without the tape.", (f"return forward({passed})[0]",)),
    ]
    if scalar:
        lines = (f"result, tape = forward({passed})", f"return {'result' if single else 'result[0]'}, backward(tape)")
        functions.append(FunctionView("value_and_grad", arguments, "tuple[Any, Gradients]", "The first output and its gradients.", lines))
    return ModuleView(_docstring(program, version), helpers_for(text), tuple(classes), tuple(functions))


def _heading(program: Program) -> str:
    return f"Compute {', '.join(name for name, _ in program.outputs)}, and the tape for backward."


def _free(node: Node) -> bool:
    """What backward makes again rather than keep: a number of the program's sizes."""
    return isinstance(node, Apply) and node.op.name in ("dimension", "arange", "eye")


def _name_of(node: Node) -> str:
    assert isinstance(node, Input)
    return node.name


def _bind_inputs(body: Body, program: Program) -> None:
    for each in program.arguments:
        body.bind(each.node, each.node.name)
        body.names.chosen[each.node] = each.node.name


def _sizes(back: Body, saved: dict[Node, None], names: Names) -> tuple[list[str], list[Field]]:
    """How backward comes by the dimensions that it uses: from an array on the tape, or from a field of their own."""
    lines: list[str] = []
    extra: list[Field] = []
    for size in back.sizes:
        if ".shape[" in size:
            owner = size.partition(".")[0]
            if any(isinstance(node, Input) and node.name == owner for node in saved):
                continue
            field_name = size.replace(".shape[", "_size_").rstrip("]")
            extra.append(Field(field_name, "int"))
            back.lines = [line.replace(size, field_name) for line in back.lines]
            continue
        for node in saved:
            shape = node.type.shape or ()
            axis = next((i for i, dim in enumerate(shape) if str(dim) == size), None)
            if axis is not None:
                lines.append(f"{size} = {names.chosen.get(node) or _name_of(node)}.shape[{axis}]")
                break
        else:
            extra.append(Field(size, "int"))
    return lines, extra


def _default_seeds(program: Program, back: Body) -> list[str]:
    lines = []
    for i, (name, seed) in enumerate(program.cotangents):
        if i and seed.type.shape is not None:
            lines += [f"if {seed.name} is None:", f"    {seed.name} = np.zeros({back.shape(seed)})" if seed.type.shape else f"    {seed.name} = 0.0"]
    return lines


def _fresh(back: Body, node: Node, saved: dict[Node, None]) -> str:
    text = back.texts[node].text
    if isinstance(node, Apply) and node.op.name in ("broadcast_to", "spread", "reshape", "index", "unbroadcast") or node in saved or not isinstance(node, Apply):
        return f"np.array({text})" if not text.startswith("np.full") else text
    if node.type.shape is None:
        return f"np.array({text})"
    return text


def _signature(program: Program) -> str:
    plain = [f"{each.node.name}: Any" for each in program.arguments if each.node.role != "const"]
    consts = [f"{each.node.name}: {each.node.type.dtype} = {each.default!r}" for each in program.arguments if each.node.role == "const"]
    return ", ".join(plain + (["*", *consts] if consts else []))


def _checks(program: Program, forward: Body, extra: Sequence[str]) -> list[str]:
    """The head of forward: arrays made, ranks and dimensions compared, sizes read."""
    lines: list[str] = []
    bound: dict[str, str] = {}
    needed = set(forward.sizes) | set(extra)
    for each in program.arguments:
        node = each.node
        if node.role == "const":
            continue
        lines.append(f'{node.name} = _{node.type.dtype}_array({node.name}, "{node.name}"{_rank(each)})')
        for axis, dim in enumerate(node.type.shape or ()):
            where = f"{node.name}.shape[{axis}]"
            name = str(dim)
            single = dim.single
            if single is not None and not single.flexible and name not in bound:
                bound[name] = where
                lines.append(f"{name} = {where}")
            elif name != where:
                lines.append(f"if {where} != {dim.text(2)}:")
                lines.append(f'    raise ValueError(f"{node.name} must have {name} = {{{dim.text()}}} on axis {axis}, not shape {{{node.name}.shape}}")')
    for size in needed:
        if "_size_" in size:
            owner, _, axis_text = size.rpartition("_size_")
            lines.append(f"{size} = {owner}.shape[{axis_text}]")
    return lines


def _rank(each: Declared) -> str:
    shape = each.node.type.shape
    return "" if shape is None else f", {len(shape)}"


def _shapes(program: Program) -> str:
    return "\n".join(f"    {each.node.name}: {each.node.type}" for each in program.arguments)


def _docstring(program: Program, version: str) -> str:
    text = program.docstring or f"{program.stem}, with its gradient."
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f"{text}\n\nGenerated by gradc {version} from {program.stem}.expr. Do not edit: change the source and compile again."


@cache
def _helper_sources() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every helper's text and the other helpers it names, from the helpers file, in its order."""
    text = files("dsl.emit").joinpath("helpers.py").read_text(encoding="utf-8")
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for item in ast.parse(text).body:
        if isinstance(item, ast.FunctionDef):
            name = item.name
        elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            name = item.targets[0].id
        else:
            continue
        source = ast.get_source_segment(text, item) or ""
        found[name] = source, tuple(sorted(set(re.findall(r"\b_[a-zA-Z]\w*", source)) - {name}))
    return found


def helpers_for(text: str) -> tuple[str, ...]:
    """The helpers that a text calls, and those that they call."""
    sources = _helper_sources()
    wanted = ["_float_array", "_int_array", "_bool_array"]
    stack = [name for name in set(re.findall(r"\b_[a-zA-Z]\w*", text + " ".join(wanted))) if name in sources]
    used: set[str] = set()
    while stack:
        name = stack.pop()
        if name not in used:
            used.add(name)
            stack += [each for each in sources[name][1] if each in sources]
    return tuple(source for name, (source, _) in sources.items() if name in used)


__all__ = ["Field", "ModuleView", "view"]
