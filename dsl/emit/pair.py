"""``forward`` and ``backward``, and the tape between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dsl.emit.body import Body, Names, live, user_names
from dsl.emit.function import (
    RESERVED,
    annotation,
    backward_order,
    bind_arguments,
    forward_order,
    fresh,
    opening,
    output_names,
    returned,
    returned_type,
    signature,
    uses_of,
)
from dsl.emit.guard import guarded
from dsl.emit.loop import rows_of_loop
from dsl.emit.module import Field, FunctionView
from dsl.nodes import Apply, Const, Input, Node, Program, applies, of_sizes, topological


def forward_and_backward(program: Program) -> tuple[list[FunctionView], tuple[Field, ...], Mapping[Node, str]]:
    """forward and backward, the fields of the tape between them, and what both call the nodes that have a line."""
    order = backward_order(program, [node for _, node in program.outputs], program.roots)
    seeds = {node: None for _, node in program.cotangents}
    names = user_names(program, RESERVED, [*order, *seeds])
    made = set(topological(node for _, node in program.outputs)) | {each.node for each in program.arguments}
    made |= {node for node in order if isinstance(node, Apply) and node.op.name == "part" and node.args[0] in made}
    later = [node for node in order if node not in made and node not in seeds]
    saved = _saved(program, later, made)
    uses = uses_of(order, program.roots)
    before = Body(program, names, uses, {*saved, *(node for _, node in program.outputs)})
    bind_arguments(before, program)
    before.emit([*forward_order(program), *(node for node in order if node in made)])
    after = Body(program, names, uses_of(later, ()), [node for _, node in program.gradients if node not in made])
    for node in (*saved, *seeds):
        after.bind(node, _name(node, names))
    again = {node for node in topological(_read(program, later)) if _free(node) and saved.keys() >= set(_sources(node))}
    after.emit(node for node in order if node not in made or node in again)
    results, copies = [before.texts[node].text for _, node in program.outputs], fresh(program.gradients, after, made)
    seeding, shapes = _seeding(program, after, saved, names)
    after.lines = [*seeding, *after.lines]
    reads, extra = _tape_sizes(after, saved, names)
    fields = [Field(_name(node, names), annotation(node)) for node in saved] + [Field(size, "int") for size in extra]
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
    lines = opening(program, before, extra) + before.lines
    lines += [f"{name}_shape = {before.texts[dict(program.outputs)[name]].text}.shape" for name in shapes]
    lines.append(f"tape = Tape({', '.join(each.name for each in fields)})")
    lines.append(f"return {returned(program, results)}, tape")
    said = f"Compute {output_names(program)}, and the tape for backward.\n\n{_shapes(program)}\n"
    forward = FunctionView("forward", signature(program), f"tuple[{returned_type(program)}, Tape]", said, tuple(guarded(live(lines), before.raising, program)))
    parameters = ", ".join(f"{seed.name}: Any = {None if i else 1.0}" for i, (_, seed) in enumerate(program.cotangents))
    outputs = ", ".join(name for name, _ in program.cotangents)
    backward = FunctionView("backward", f"tape: Tape, {parameters}", "Gradients", f"The gradients, from the cotangent of {outputs}.", tuple(back))
    return [forward, backward], tuple(fields), names.chosen


def _unpacked(fields: Sequence[Field]) -> list[str]:
    """The tape's fields under their names."""
    names = ", ".join(each.name for each in fields)
    return [f"({names},) = tape"] if len(fields) == 1 else [f"{names} = tape"] if fields else []


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
    return of_sizes(node) or rows_of_loop(node) or _of_windows(node) or _counted(node)


def _counted(node: Node) -> bool:
    """Whether an array counts, or is an identity matrix, in whatever shape."""
    while applies(node, "reshape"):
        (node,) = node.args
    return applies(node, "arange", "eye") and not node.args


def _name(node: Node, names: Names) -> str:
    return node.name if isinstance(node, Input) else names.chosen[node]


def _tape_sizes(after: Body, saved: Iterable[Node], names: Names) -> tuple[list[str], list[str]]:
    """How backward comes by the dimensions that it names: read from an array on the tape, or kept in a field of their own."""
    places = {str(dim): f"{_name(node, names)}.shape[{axis}]" for node in reversed(list(saved)) for axis, dim in enumerate(node.type.shape or ())}
    reads: list[str] = []
    extra: list[str] = []
    called: dict[str, str] = {}
    for size in after.sizes:
        plain = size.replace(".shape[", "_shape_").rstrip("]")
        if size in places and plain == size:
            reads.append(f"{size} = {places[size]}")
        elif size in places:
            called[size] = places[size]
        else:
            called[size] = plain
            extra.append(plain)
    if called:
        # all at once, for one name may end as another does
        sizes = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, called))})(?!\w)")
        after.lines = [sizes.sub(lambda match: called[match[0]], line) for line in after.lines]
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


__all__ = ["forward_and_backward"]
