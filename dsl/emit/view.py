"""A program as finished strings: what the template prints, and nothing that it would have to decide."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import astuple, replace

from dsl.emit import shelter
from dsl.emit.body import Body, live, user_names
from dsl.emit.function import (
    CHECKED,
    RESERVED,
    annotation,
    argument_names,
    argument_type,
    bind_arguments,
    forward_order,
    opening,
    output_names,
    quoted,
    returned,
    returned_type,
    signature,
    uses_of,
    with_cotangents,
)
from dsl.emit.fused import fused
from dsl.emit.guard import guarded
from dsl.emit.head import checks
from dsl.emit.module import ClassView, Field, FunctionView, ModuleView
from dsl.emit.pair import forward_and_backward
from dsl.emit.snippets import helpers_for, imports_for
from dsl.nodes import Program

# glibc's malloc learns from an array that is freed how much to keep. Without it, the arrays of some megabytes that a call makes have their pages
# cleared by the system in every call of a fresh process, which takes up to half of the time
_KEEPS_MEMORY = (
    "# made and given back at once: the C library then keeps so much memory from one call to the next",
    "np.empty(2**24, np.uint8)",
)


def view(program: Program, version: str, others: Sequence[Program] = (), workspace: bool = False) -> ModuleView:
    """The module of a differentiated program, and of other ways for its value_and_grad, which may take a ``workspace``."""
    pair, tape, called = forward_and_backward(with_cotangents(program, program.adjoints))
    functions = [*_checked(program), *pair, _value(_alone(program))]
    if dict(program.outputs)[program.cotangents[0][0]].type.shape == () and program.outputs[0][0] == program.cotangents[0][0]:
        functions += [*map(fused, others), fused(program, others, workspace)]
    classes = [ClassView("Tape", "What backward needs of forward.", tape), _gradients(program)]
    if len(program.outputs) > 1:
        classes.append(ClassView("Outputs", "What forward returns.", tuple(Field(name, annotation(node)) for name, node in program.outputs)))
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


def _pragmas(text: str) -> tuple[str, ...]:
    """What a linter must be told where the user's names are ones that it finds hard to read."""
    return ("# ruff: noqa: E741, RUF100",) if re.search(r"(?m)^(?:\w+, )*[lIO](?:, \w+)* = ", text) else ()


def _gradients(program: Program) -> ClassView:
    first = program.cotangents[0][0]
    fields = tuple(Field(name, annotation(node)) for name, node in program.gradients)
    return ClassView("Gradients", f"d{first}/d of each, in its argument's shape.", fields)


def _checked(program: Program) -> list[FunctionView]:
    """What forward, value and value_and_grad do first."""
    if not program.arguments:
        return []
    types = ", ".join(argument_type(each.node) for each in program.arguments)
    result = f"tuple[{types}]" if len(program.arguments) > 1 else types
    # what is looked at before it is an array is anything, to a type checker
    array = "Any" if len(program.arguments) > 1 else "ArrayLike"
    arguments = ", ".join(f"{each.node.name}: {each.node.type.dtype if each.node.role == 'const' else array}" for each in program.arguments)
    lines = (*checks(program), f"return {argument_names(program)}")
    return [FunctionView(CHECKED, arguments, result, "The arguments as arrays, checked.", lines)]


def _value(program: Program) -> FunctionView:
    order = forward_order(program)
    body = Body(program, user_names(program, RESERVED, order), uses_of(order, ()), [node for _, node in program.outputs if node in program.names])
    body.annotated = {node for _, node in program.outputs if len(program.outputs) == 1 and annotation(node) != "Any"}
    bind_arguments(body, program)
    body.emit(order)
    result = returned(program, [body.texts[node].text for _, node in program.outputs])
    lines = tuple(guarded(live([*opening(program, body, ()), *body.lines, f"return {result}"]), body.raising, program))
    return FunctionView("value", signature(program), returned_type(program), f"Compute {output_names(program)}.", lines)


def _docstring(program: Program, version: str) -> str:
    text = program.docstring or f"{program.stem}, with its gradient."
    text = f"{text}\n\nGenerated by gradc {version} from {program.stem}.expr. Do not edit: change the source and compile again."
    return quoted(text)


__all__ = ["Field", "ModuleView", "view"]
