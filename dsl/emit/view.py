"""A program as finished strings: what the template prints, and nothing that it would have to decide."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, replace

from dsl.emit import shelter
from dsl.emit.blocks import emit_in_walks, in_double
from dsl.emit.body import Body, Names, live, user_names
from dsl.emit.guard import guarded
from dsl.emit.head import checks, sizes
from dsl.emit.loop import last_carry, rows_of_loop
from dsl.emit.module import ClassView, Field, FunctionView, ModuleView
from dsl.emit.reuse import Frugal
from dsl.emit.snippets import helpers_for, imports_for
from dsl.nodes import Apply, Const, Input, Node, Program, cotangent_names, of_sizes, topological
from dsl.ops.product_text import split_spec
from dsl.types import product

RESERVED = dict.fromkeys(
    "np tape Tape Gradients Outputs NamedTuple Any NDArray ArrayLike forward backward value value_and_grad".split()
)
CHECKED = "_checked"
INSTEAD = "_by_moments"
# glibc's malloc learns from an array that is freed how much to keep. Without it, the arrays of some megabytes that a call makes have their pages
# cleared by the system in every call of a fresh process, which takes up to half of the time
_KEEPS_MEMORY = (
    "# made and given back at once: the C library then keeps so much memory from one call to the next",
    "np.empty(2**24, np.uint8)",
)
_KEEPS_ARRAYS = "a dict, empty at first, that keeps arrays for the next call to fill again; each thread has its own."
_KEEPS_NONE = "not used, for what is large is made a block at a time."
# so many entries of an array that need not be formed make another way worth a look
LARGE = 32768
_VIEWS = ("broadcast_to", "spread", "reshape", "index", "unbroadcast", "stop_gradient", "cast", "diagonal", "flip", "windows")


def view(program: Program, version: str, other: Program | None = None, workspace: bool = False) -> ModuleView:
    """The module of a differentiated program, and of another way for its value_and_grad, which may take a ``workspace``."""
    pair, tape, called = _pair(_with_cotangents(program, program.adjoints))
    functions = [*_checked(program), *pair, _value(_alone(program))]
    if dict(program.outputs)[program.cotangents[0][0]].type.shape == () and program.outputs[0][0] == program.cotangents[0][0]:
        functions += [*([_fused(other)] if other else []), _fused(program, other, workspace)]
    classes = [ClassView("Tape", "What backward needs of forward.", tape), _gradients(program)]
    if len(program.outputs) > 1:
        classes.append(ClassView("Outputs", "What forward returns.", tuple(Field(name, _annotation(node)) for name, node in program.outputs)))
    text = "\n".join(line for function in functions for line in function.lines)
    taken = _users_names(program)
    functions = [replace(each, lines=tuple(shelter.line(line, taken) for item in each.lines for line in item.split("\n"))) for each in functions]
    classes = [replace(each, fields=tuple(Field(name, shelter.field(name, type, taken)) for name, type in map(astuple, each.fields))) for each in classes]
    texts = [*(line for function in functions for line in function.lines), *(field.type for each in classes for field in each.fields)]
    helpers, prelude = helpers_for(text), (*shelter.prelude(texts, taken), *(_KEEPS_MEMORY if _sized_by_its_arguments(program) else ()))
    return ModuleView(_docstring(program, version), imports_for(helpers), prelude, helpers, tuple(classes), tuple(functions), _pragmas(text), called)


def _sized_by_its_arguments(program: Program) -> bool:
    """Whether some array may be large: its size is known by a call alone."""
    shapes = [each.node.type.shape for each in program.arguments]
    return any(shape is None or any(dim.constant is None for dim in shape) for shape in shapes)


def _alone(program: Program) -> Program:
    """The program as ``value`` sees it."""
    if not program.alone:
        return program
    places = {node: line.number for node, line in program.lines.items()}
    return replace(program, outputs=program.alone, names=dict(sorted(program.names.items(), key=lambda named: places.get(named[0], 0))))


def _users_names(program: Program) -> set[str]:
    return {*(each.node.name for each in program.arguments), *(name for name, _ in program.outputs), *program.names.values(), *program.wishes.values()}


def _with_cotangents(program: Program, adjoints: Mapping[Node, Node]) -> Program:
    """The program as one function sees it: what forward does not make itself has a cotangent's name."""
    forward = set(topological(node for _, node in program.outputs))
    adjoints = {node: primal for node, primal in adjoints.items() if node not in forward}
    return replace(program, adjoints=adjoints, names={**cotangent_names(program, adjoints), **program.names})


def _pragmas(text: str) -> tuple[str, ...]:
    """What a linter must be told where the user's names are ones that it finds hard to read."""
    return ("# ruff: noqa: E741, RUF100",) if re.search(r"(?m)^(?:\w+, )*[lIO](?:, \w+)* = ", text) else ()


def _gradients(program: Program) -> ClassView:
    first = program.cotangents[0][0]
    fields = tuple(Field(name, _annotation(node)) for name, node in program.gradients)
    return ClassView("Gradients", f"d{first}/d of each, in its argument's shape.", fields)


def _checked(program: Program) -> list[FunctionView]:
    """What forward, value and value_and_grad do first."""
    if not program.arguments:
        return []
    types = ", ".join(_argument_type(each.node) for each in program.arguments)
    result = f"tuple[{types}]" if len(program.arguments) > 1 else types
    # what is looked at before it is an array is anything, to a type checker
    array = "Any" if len(program.arguments) > 1 else "ArrayLike"
    arguments = ", ".join(f"{each.node.name}: {each.node.type.dtype if each.node.role == 'const' else array}" for each in program.arguments)
    lines = (*checks(program), f"return {_arguments(program)}")
    return [FunctionView(CHECKED, arguments, result, "The arguments as arrays, checked.", lines)]


def _taken_type(node: Input) -> str:
    return node.type.dtype if node.role == "const" else "ArrayLike"


def _argument_type(node: Input) -> str:
    return node.type.dtype if node.role == "const" else "NDArray[Any]"


def _arguments(program: Program) -> str:
    return ", ".join(each.node.name for each in program.arguments)


def _pair(program: Program) -> tuple[list[FunctionView], tuple[Field, ...], Mapping[Node, str]]:
    """forward and backward, the fields of the tape between them, and what both call the nodes that have a line."""
    order = _backward_order(program, [node for _, node in program.outputs], program.roots)
    seeds = {node: None for _, node in program.cotangents}
    names = user_names(program, RESERVED, [*order, *seeds])
    made = set(topological(node for _, node in program.outputs)) | {each.node for each in program.arguments}
    made |= {node for node in order if isinstance(node, Apply) and node.op.name == "part" and node.args[0] in made}
    later = [node for node in order if node not in made and node not in seeds]
    saved = _saved(program, later, made)
    uses = _uses(order, program.roots)
    before = Body(program, names, uses, {*saved, *(node for _, node in program.outputs)})
    _bind_arguments(before, program)
    before.emit([*_forward(program), *(node for node in order if node in made)])
    after = Body(program, names, _uses(later, ()), [node for _, node in program.gradients if node not in made])
    for node in (*saved, *seeds):
        after.bind(node, _name(node, names))
    again = {node for node in topological(_read(program, later)) if _free(node) and saved.keys() >= set(_sources(node))}
    after.emit(node for node in order if node not in made or node in again)
    results, copies = [before.texts[node].text for _, node in program.outputs], _fresh(program.gradients, after, made)
    seeding, shapes = _seeding(program, after, saved, names)
    after.lines = [*seeding, *after.lines]
    reads, extra = _tape_sizes(after, saved, names)
    fields = [Field(_name(node, names), _annotation(node)) for node in saved] + [Field(size, "int") for size in extra]
    fields += [Field(f"{name}_shape", "tuple[int, ...]") for name in shapes]
    if after.needs_dtype:
        fields.append(Field(names.dtype, "Any"))
        before.needs_dtype = True
    unpack = [f"{each.name} = tape.{each.name}" for each in fields]
    back = live([*unpack, *reads, *after.lines, f"return Gradients({', '.join(copies)})"])
    kept, unpacking = {*back}, {*unpack}
    fields = [each for each, line in zip(fields, unpack, strict=True) if line in kept]
    back = [*_unpacked(fields), *(line for line in back if line not in unpacking)]
    back = guarded(back, after.raising, program)
    lines = _head(program, before, extra) + before.lines
    lines += [f"{name}_shape = {before.texts[dict(program.outputs)[name]].text}.shape" for name in shapes]
    lines.append(f"tape = Tape({', '.join(each.name for each in fields)})")
    lines.append(f"return {_result(program, results)}, tape")
    said = f"Compute {_listed(program)}, and the tape for backward.\n\n{_shapes(program)}\n"
    forward = FunctionView("forward", _signature(program), f"tuple[{_result_type(program)}, Tape]", said, tuple(guarded(live(lines), before.raising, program)))
    parameters = ", ".join(f"{seed.name}: Any = {None if i else 1.0}" for i, (_, seed) in enumerate(program.cotangents))
    outputs = ", ".join(name for name, _ in program.cotangents)
    backward = FunctionView("backward", f"tape: Tape, {parameters}", "Gradients", f"The gradients, from the cotangent of {outputs}.", tuple(back))
    return [forward, backward], tuple(fields), names.chosen


def _unpacked(fields: Sequence[Field]) -> list[str]:
    """The tape's fields under their names."""
    names = ", ".join(each.name for each in fields)
    return [f"({names},) = tape"] if len(fields) == 1 else [f"{names} = tape"] if fields else []


def _value(program: Program) -> FunctionView:
    order = _forward(program)
    body = Body(program, user_names(program, RESERVED, order), _uses(order, ()), [node for _, node in program.outputs if node in program.names])
    body.annotated = {node for _, node in program.outputs if len(program.outputs) == 1 and _annotation(node) != "Any"}
    _bind_arguments(body, program)
    body.emit(order)
    result = _result(program, [body.texts[node].text for _, node in program.outputs])
    lines = tuple(guarded(live([*_head(program, body, ()), *body.lines, f"return {result}"]), body.raising, program))
    return FunctionView("value", _signature(program), _result_type(program), f"Compute {_listed(program)}.", lines)


def _fused(program: Program, other: Program | None = None, workspace: bool = False) -> FunctionView:
    """Value and gradients in one function, the cotangent 1 worked in, after what it may call instead of going on. One with a guard is called by
    another, which has checked its arguments, and returns None where the guard does not hold."""
    program = _with_cotangents(program, program.fused_adjoints)
    roots = tuple(node for _, node in program.fused)
    first = roots[0]
    first_nodes = set(topological([first]))
    order = _backward_order(program, [node for node in program.names if node in first_nodes], roots)
    body = Frugal(program, user_names(program, RESERVED, order), _uses(order, (*roots, *(arg for node in program.guards for arg in node.args))), roots)
    _bind_arguments(body, program)
    told, workers = list(program.hastened), body.names.fresh("workers") if any(walk.shared for walk in program.walks) else ""
    called = [] if other is None else _calling(other, body, workers)
    kept = body.names.fresh("workspace") if workspace else ""
    if kept:
        body.room = body.names.fresh("room")
        called.append(f"{body.room} = _room({kept}, {body.dtype})")
    for guard in program.guards:
        body.emit(topological([guard]))
        body.lines.append(f"if not {body.texts[guard].text}:\n    return None")
    if program.walks:
        told.insert(0, _said_of_walks(program))
        emit_in_walks(body, order, program.walks, workers)
    else:
        body.emit(order)
    copies = _fresh(program.fused[1:], body, {each.node for each in program.arguments})
    lines = body.reused(f"return {_scalar(first, body.texts[first].text)}, Gradients({', '.join(copies)})")
    lines = live([*_head(program, body, ()), *called, *lines])
    if body.overwrites:
        told.append("Arrays that nothing reads any more are overwritten.")
    if other is not None:
        told.append("Sums of squared differences of large arrays are products of moments where these are as exact: see _by_moments.")
    more = [(workers, "int = 1", "how many threads share the blocks.")] if workers else []
    if kept:
        used = any(f"{body.room}(" in line for line in lines)
        more.append((kept, "dict[str, NDArray[Any]] | None = None", _KEEPS_ARRAYS if used else _KEEPS_NONE))
    said = _paragraphs(f"{program.outputs[0][0]} and its gradients.", told, [f"{name}: {meaning}" for name, _, meaning in more])
    lines = guarded(lines, body.raising, program)
    if program.guards:
        given = ", ".join(f"{each.node.name}: {_argument_type(each.node)}" for each in program.arguments)
        return FunctionView(INSTEAD, given + f", {workers}: int" * bool(workers), "tuple[Any, Gradients] | None", said, tuple(lines))
    arguments = _signature(program)
    arguments += "".join(["" if "*" in arguments or not more else ", *", *(f", {name}: {type}" for name, type, _ in more)])
    return FunctionView("value_and_grad", arguments, "tuple[Any, Gradients]", said, tuple(lines))


def _calling(other: Program, body: Frugal, workers: str) -> list[str]:
    """The statements that ask for the other way with large arrays."""
    found = body.names.fresh("found")
    call = f"{INSTEAD}({', '.join([_arguments(other), *[workers or '1'] * any(walk.shared for walk in other.walks)])})"
    x, y, _ = other.guards[0].args
    entries = product((*x.type.known, y.type.known[0]))
    return [f"if {body.dim(entries)} >= {LARGE}:\n    {found} = {call}\n    if {found} is not None:\n        return _rounded(*{found}, {body.dtype})"]


def _paragraphs(first: str, *more: Sequence[str]) -> str:
    """A docstring of several paragraphs, a sentence to a line."""
    shown = ["\n".join(f"    {_quoted(line)}" for line in lines) for lines in more if lines]
    return "\n\n".join([first, *shown]) + ("\n" if shown else "")


def _quoted(text: str) -> str:
    """A text as it stands in a docstring."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _said_of_walks(program: Program) -> str:
    """What a reader should know of the blocks."""
    times = {1: "", 2: " twice,"}.get(len(program.walks), f" {len(program.walks)} times,")
    return f"The {program.walks[0].dim} rows are gone through{times} a block at a time: what is made of a block stays in the cache."


def _forward(program: Program) -> list[Node]:
    """The outputs' nodes, those of an earlier line of the source before those of a later one."""
    reached = set(topological(node for _, node in program.outputs))
    return topological([*(node for node in program.names if node in reached), *(node for _, node in program.outputs)])


def _backward_order(program: Program, forward: Sequence[Node], roots: Sequence[Node]) -> list[Node]:
    """The nodes below the roots: forward's, then cotangents in the order in which reverse mode completes them."""
    reached = set(topological(roots))
    return topological([*forward, *(node for node in program.adjoints if node in reached), *roots])


def _saved(program: Program, later: Sequence[Node], made: set[Node]) -> dict[Node, None]:
    """The nodes of forward that backward reads, in the order in which it first does."""
    saved: dict[Node, None] = {}
    for node in _read(program, later):
        if node in made and not isinstance(node, Const):
            saved.update(dict.fromkeys(_sources(node) if _free(node) else (node,)))
    return saved


def _sources(node: Node) -> tuple[Node, ...]:
    """The arrays that must be kept to make a value again."""
    return node.args if rows_of_loop(node) else _seen_through(node) if _of_windows(node) else ()


def _of_windows(node: Node) -> bool:
    """Whether an array is the windows over another, or their copy, which is many times as large."""
    return isinstance(node, Apply) and (node.op.name == "windows" or (node.op.name == "reshape" and _of_windows(node.args[0])))


def _seen_through(node: Node) -> tuple[Node, ...]:
    """What the windows lie over."""
    while isinstance(node, Apply) and _of_windows(node):
        (node,) = node.args
    return (node,)


def _read(program: Program, later: Iterable[Node]) -> list[Node]:
    """What backward reads, its own steps among it."""
    return [*(arg for node in later for arg in node.args), *(node for _, node in program.gradients)]


def _free(node: Node) -> bool:
    """What backward makes again rather than keep: a number of the program's sizes, rows of what a loop leaves, windows over an array."""
    return of_sizes(node) or rows_of_loop(node) or _of_windows(node) or (isinstance(node, Apply) and not node.args and node.op.name in ("arange", "eye"))


def _uses(order: Iterable[Node], roots: Iterable[Node]) -> Counter[Node]:
    counts = Counter(arg for node in order for arg in node.args)
    counts.update(roots)
    return counts


def _name(node: Node, names: Names) -> str:
    return node.name if isinstance(node, Input) else names.chosen[node]


def _bind_arguments(body: Body, program: Program) -> None:
    for each in program.arguments:
        body.bind(each.node, each.node.name)


def _head(program: Program, body: Body, extra: Iterable[str]) -> list[str]:
    check = not program.guards  # else what calls the function has done it
    lines = [f"{_arguments(program)} = {CHECKED}({_arguments(program)})"] if program.arguments and check else []
    floats = _floats(program)
    if body.uniform and len(floats) > 1 and check:
        types = [f"{name}.dtype" for name in floats]
        differ = " != ".join(types) if len(types) == 2 else f"not {' == '.join(types)}"
        lines.append(f"if {differ}:\n    {', '.join(floats)} = _in_one_precision({', '.join(floats)})")
    if program.guards:
        parted = {node.name for walk in program.walks for node in walk.sequences if isinstance(node, Input)}
        lines += in_double([name for name in floats if name not in parted])
    lines += sizes(program, [*body.sizes, *extra])
    lines += [f"{size} = {size.replace('_shape_', '.shape[')}]" for size in extra if "_shape_" in size]
    if body.needs_dtype:
        alike = f"{floats[0]}.dtype" if len(floats) == 1 or (floats and body.uniform) else _common(floats)
        lines.append(f"{body.dtype} = {'np.dtype(np.float64)' if program.guards else alike}")
    return lines


def _floats(program: Program) -> list[str]:
    """The arguments that have a precision."""
    return [each.node.name for each in program.arguments if each.node.type.dtype == "float" and each.node.role != "const"]


def _common(floats: Sequence[str]) -> str:
    return f"np.result_type({', '.join(floats) or 'np.float64'})"


def _tape_sizes(after: Body, saved: Iterable[Node], names: Names) -> tuple[list[str], list[str]]:
    """How backward comes by the dimensions that it names: read from an array on the tape, or kept in a field of their own."""
    places = {str(dim): f"{_name(node, names)}.shape[{axis}]" for node in reversed(list(saved)) for axis, dim in enumerate(node.type.shape or ())}
    reads: list[str] = []
    extra: list[str] = []
    for size in after.sizes:
        plain = size.replace(".shape[", "_shape_").rstrip("]")
        if size in places and plain == size:
            reads.append(f"{size} = {places[size]}")
        elif size in places:
            after.lines = [line.replace(size, places[size]) for line in after.lines]
        else:
            after.lines = [line.replace(size, plain) for line in after.lines]
            extra.append(plain)
    return reads, extra


def _seeding(program: Program, after: Body, saved: Iterable[Node], names: Names) -> tuple[list[str], list[str]]:
    """Cotangents in their outputs' shapes: the first is ones where the caller gives none, the others zeros; and the outputs of which the tape must
    keep the shape."""
    lines: list[str] = []
    used = {arg for node in topological(node for _, node in program.gradients) for arg in (node, *node.args)}
    kept: list[str] = []
    for name, seed in program.cotangents:
        if seed not in used:
            continue
        like = None
        if seed.type.shape != ():
            like = next((_name(node, names) for node in saved if node.type.dtype == "float" and node.type.matches(seed.type)), None)
            kept += [name] * (seed.type.shape is None and like is None)
        shape = f"{like}.shape" if like else f"{name}_shape" if seed.type.shape is None else after.shape(seed) if seed.type.shape else "()"
        like = like or next((_name(node, names) for node in _precise(program, saved)), None)
        dtype = f"{like}.dtype" if like else after.dtype
        lines.append(f'{seed.name} = _cotangent({seed.name}, "{seed.name}", {shape}, {dtype})')
    return lines, kept


def _precise(program: Program, saved: Iterable[Node]) -> Iterator[Node]:
    """The saved arrays that every float argument acts upon, so that they have the program's precision."""
    floats = frozenset(each.node for each in program.arguments if each.node.type.dtype == "float" and each.node.role != "const")
    acting: dict[Node, frozenset[Node]] = {}
    saved = [node for node in saved if node.type.dtype == "float" and node.type.shape and not node.type.weak]
    for node in topological(saved):
        parts = [acting[arg] for arg in node.args if arg.type.dtype == "float"]
        acting[node] = floats & {node} if isinstance(node, Input) else frozenset().union(*parts)
    yield from (node for node in saved if acting[node] == floats)


def _fresh(gradients: Iterable[tuple[str, Node]], body: Body, made: set[Node]) -> list[str]:
    """The gradients as arguments of the result: copied where they would share memory with an input, the tape or each other."""
    texts: list[str] = []
    given: set[Node] = set()
    for _, node in gradients:
        text = body.texts[node].text
        if node.type.shape == ():
            text = _scalar(node, text, body)
        elif node in given or _shares(node, made):
            text = f"np.array({text})"
        given.add(node)
        texts.append(text)
    return texts


def _shares(node: Node, made: set[Node]) -> bool:
    """Whether an array may share memory with what was made before, or its entries with each other."""
    while isinstance(node, Apply) and node not in made and _is_view(node):
        if node.op.name in ("broadcast_to", "spread"):
            return node.args[0].type.shape != ()
        if node.op.name == "diagonal":
            return True
        node = node.args[0]
    if carried := last_carry(node):
        return any(_shares(each, made) for each in carried)
    return node in made or not isinstance(node, Apply)


def _is_view(node: Apply) -> bool:
    """Whether a step may give its first argument's memory back: a gather, a sum and a product of several arrays do not."""
    if node.op.name == "einsum":
        labels, output = split_spec(str(node.attr("spec")))
        return len(labels) == 1 and set(labels[0]) == set(output)
    return node.op.name in _VIEWS and (len(node.args) == 1 or node.op.name in ("spread", "unbroadcast"))


def _scalar(node: Node, text: str, body: Body | None = None) -> str:
    """A zero-dimensional result as a NumPy scalar."""
    if node.type.shape != ():
        return text
    if body is not None and (isinstance(node, Const) or (isinstance(node, Input) and node.role == "const") or node.type.weak):
        return f"{body.dtype}.type({text})"
    if _may_be_array(node):
        return f"{text}[()]" if text.isidentifier() else f"({text})[()]"
    return text


def _may_be_array(node: Node) -> bool:
    """Whether what has no axes may be an array all the same."""
    if carried := last_carry(node):
        return any(map(_may_be_array, carried))
    if isinstance(node, Input):
        return node.role != "const" and not node.role.startswith("loop")
    return isinstance(node, Apply) and node.op.name in ("where", "cast", "reshape", "broadcast_to", "scatter")


def _result(program: Program, texts: Sequence[str]) -> str:
    shown = [_scalar(node, text) for (_, node), text in zip(program.outputs, texts, strict=True)]
    return shown[0] if len(shown) == 1 else f"Outputs({', '.join(shown)})"


def _result_type(program: Program) -> str:
    return _annotation(program.outputs[0][1]) if len(program.outputs) == 1 else "Outputs"


def _annotation(node: Node) -> str:
    return "Any" if node.type.shape in ((), None) else "NDArray[Any]"


def _listed(program: Program) -> str:
    return ", ".join(name for name, _ in program.outputs)


def _signature(program: Program) -> str:
    plain = [f"{each.node.name}: {_taken_type(each.node)}" for each in program.arguments if each.node.role != "const"]
    consts = [f"{each.node.name}: {each.node.type.dtype} = {each.default!r}" for each in program.arguments if each.node.role == "const"]
    return ", ".join(plain + (["*", *consts] if consts else []))


def _shapes(program: Program) -> str:
    return "\n".join(f"    {each.node.name}: {_described(each.node)}" for each in program.arguments)


def _described(node: Input) -> str:
    if node.role == "const":
        return f"{node.type.dtype}, a number"
    if node.type.shape is None:
        return f"{node.type.dtype}, any shape"
    if any(dim.flexible for dim in node.type.shape):
        rank = len(node.type.shape)
        return f"{node.type.dtype}, {rank} {'axis' if rank == 1 else 'axes'}"
    return f"{node.type.dtype}[{', '.join(map(str, node.type.shape))}]"


def _docstring(program: Program, version: str) -> str:
    text = program.docstring or f"{program.stem}, with its gradient."
    text = f"{text}\n\nGenerated by gradc {version} from {program.stem}.expr. Do not edit: change the source and compile again."
    return _quoted(text)


__all__ = ["Field", "ModuleView", "view"]
