"""What any function of a generated module has: its arguments, the statements it begins with, the order of its steps, and its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dsl.emit.blocks import in_double
from dsl.emit.body import Body
from dsl.emit.head import sizes
from dsl.emit.loop import last_carry
from dsl.nodes import Apply, Const, Input, Node, Program, cotangent_names, topological
from dsl.ops.product_text import split_spec

RESERVED = dict.fromkeys(
    "np tape Tape Gradients Outputs NamedTuple Any NDArray ArrayLike forward backward value value_and_grad".split()
)
CHECKED = "_checked"


def with_cotangents(program: Program, adjoints: Mapping[Node, Node]) -> Program:
    """The program as one function sees it: what forward does not make itself has a cotangent's name."""
    forward = set(topological(node for _, node in program.outputs))
    adjoints = {node: primal for node, primal in adjoints.items() if node not in forward}
    return replace(program, adjoints=adjoints, names={**cotangent_names(program, adjoints), **program.names})


def _taken_type(node: Input) -> str:
    return node.type.dtype if node.role == "const" else "ArrayLike"


def argument_type(node: Input) -> str:
    return node.type.dtype if node.role == "const" else "NDArray[Any]"


def argument_names(program: Program) -> str:
    return ", ".join(each.node.name for each in program.arguments)


def quoted(text: str) -> str:
    """A text as it stands in a docstring."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def forward_order(program: Program) -> list[Node]:
    """The outputs' nodes, those of an earlier line of the source before those of a later one."""
    reached = set(topological(node for _, node in program.outputs))
    return topological([*(node for node in program.names if node in reached), *(node for _, node in program.outputs)])


def backward_order(program: Program, forward: Sequence[Node], roots: Sequence[Node]) -> list[Node]:
    """The nodes below the roots: forward's, then cotangents in the order in which reverse mode completes them."""
    reached = set(topological(roots))
    return topological([*forward, *(node for node in program.adjoints if node in reached), *roots])


def uses_of(order: Iterable[Node], roots: Iterable[Node]) -> Counter[Node]:
    counts = Counter(arg for node in order for arg in node.args)
    counts.update(roots)
    return counts


def bind_arguments(body: Body, program: Program) -> None:
    for each in program.arguments:
        body.bind(each.node, each.node.name)


def opening(program: Program, body: Body, extra: Iterable[str]) -> list[str]:
    check = program.way is None  # else what calls the function has done it
    lines = [f"{argument_names(program)} = {CHECKED}({argument_names(program)})"] if program.arguments and check else []
    floats = _floats(program)
    if body.fast and len(floats) > 1 and check:
        types = [f"{name}.dtype" for name in floats]
        differ = " != ".join(types) if len(types) == 2 else f"not {' == '.join(types)}"
        lines.append(f"if {differ}:\n    {', '.join(floats)} = _in_one_precision({', '.join(floats)})")
    if program.way and program.way.double:
        parted = {node.name for walk in program.walks for node in walk.sequences if isinstance(node, Input)}
        lines += in_double([name for name in floats if name not in parted])
    lines += sizes(program, [*body.sizes, *extra])
    lines += [f"{size} = {size.replace('_shape_', '.shape[')}]" for size in extra if "_shape_" in size]
    if body.needs_dtype:
        alike = f"{floats[0]}.dtype" if len(floats) == 1 or (floats and body.fast) else _common(floats)
        lines.append(f"{body.dtype} = {'np.dtype(np.float64)' if program.way and program.way.double else alike}")
    return lines


def _floats(program: Program) -> list[str]:
    """The arguments that have a precision."""
    return [each.node.name for each in program.arguments if each.node.type.dtype == "float" and each.node.role != "const"]


def _common(floats: Sequence[str]) -> str:
    return f"np.result_type({', '.join(floats) or 'np.float64'})"


def fresh(gradients: Iterable[tuple[str, Node]], body: Body, made: set[Node]) -> list[str]:
    """The gradients as arguments of the result: copied where they would share memory with an input, the tape or each other."""
    texts: list[str] = []
    given: set[Node] = set()
    for _, node in gradients:
        text = body.texts[node].text
        if node.type.shape == ():
            text = scalar(node, text, body)
        elif (seen := _seen(node)) in given or _shares(node, made):
            text = f"np.array({text})"
        else:
            given.add(seen)
        texts.append(text)
    return texts


def _seen(node: Node) -> Node:
    """The array that a view shows, be it a part of it or all."""
    while isinstance(node, Apply) and _is_view(node):
        node = node.args[0]
    return node


def _shares(node: Node, made: set[Node]) -> bool:
    """Whether an array may share memory with what was made before, or its entries with each other."""
    while isinstance(node, Apply) and node not in made and _is_view(node):
        if node.op.name in ("broadcast_to", "spread"):
            return node.args[0].type.shape != ()
        if node.op.name == "diagonal" or (node.op.name == "einsum" and len(node.type.known) < len(node.args[0].type.known)):
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
    if node.op.name in ("spread", "unbroadcast", "cast"):
        return True
    return node.op.view and len(node.args) == 1


def scalar(node: Node, text: str, body: Body | None = None) -> str:
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


def returned(program: Program, texts: Sequence[str]) -> str:
    shown = [scalar(node, text) for (_, node), text in zip(program.outputs, texts, strict=True)]
    return shown[0] if len(shown) == 1 else f"Outputs({', '.join(shown)})"


def returned_type(program: Program) -> str:
    return annotation(program.outputs[0][1]) if len(program.outputs) == 1 else "Outputs"


def annotation(node: Node) -> str:
    return "Any" if node.type.shape in ((), None) else "NDArray[Any]"


def output_names(program: Program) -> str:
    return ", ".join(name for name, _ in program.outputs)


def signature(program: Program) -> str:
    plain = [f"{each.node.name}: {_taken_type(each.node)}" for each in program.arguments if each.node.role != "const"]
    consts = [f"{each.node.name}: {each.node.type.dtype} = {each.default!r}" for each in program.arguments if each.node.role == "const"]
    return ", ".join(plain + (["*", *consts] if consts else []))


__all__ = [
    "CHECKED",
    "RESERVED",
    "annotation",
    "argument_names",
    "argument_type",
    "backward_order",
    "bind_arguments",
    "forward_order",
    "fresh",
    "opening",
    "output_names",
    "quoted",
    "returned",
    "returned_type",
    "scalar",
    "signature",
    "uses_of",
    "with_cotangents",
]
