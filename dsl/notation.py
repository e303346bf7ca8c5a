"""The turn of a loop as plain data, for a printed program to hold: its nodes numbered, the inputs first, then what is made, arguments before use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dsl.nodes import Apply, Const, Input, Line, Node, Notes, apply, argument, const, topological
from dsl.ops.loops import Turn
from dsl.ops.spec import Op
from dsl.types import TensorType


def encoded(turn: Turn) -> tuple[Any, ...]:
    """Inputs, constants and operations, the numbers of what the turn makes, and what is told of them. ``exact`` prints it, ``decoded`` reads it."""
    order = [node for node in topological(turn.made) if node not in turn.given]
    numbers = {node: i for i, node in enumerate((*turn.given, *order))}
    inputs = tuple(tuple(_input(each) for each in group) for group in turn.inputs)
    made = tuple(_made(node, numbers) for node in order)
    places = tuple(tuple(numbers[node] for node in group) for group in (turn.nexts, turn.outs))
    lines = dict.fromkeys(line for _, line in turn.notes.lines)
    names, wishes = (tuple((numbers[node], name) for node, name in group) for group in (turn.notes.names, turn.notes.wishes))
    told = tuple((line.number, line.text) for line in lines), tuple((numbers[node], list(lines).index(line)) for node, line in turn.notes.lines)
    return (*inputs, made, *places, names, *told, wishes)


def _input(node: Input) -> tuple[Any, ...]:
    return node.name, node.role, node.type.dtype, node.type.shape, node.type.weak


def _made(node: Node, numbers: dict[Node, int]) -> tuple[Any, ...]:
    if isinstance(node, Const):
        return (node.value,)
    assert isinstance(node, Apply)
    settings = tuple((key, encoded(value) if isinstance(value, Turn) else value) for key, value in node.attrs)
    return node.op.name, tuple(numbers[arg] for arg in node.args), settings


def _inputs(group: tuple[Any, ...]) -> tuple[Input, ...]:
    return tuple(argument(name, role, TensorType(dtype, shape, weak)) for name, role, dtype, shape, weak in group)


def decoded(data: tuple[Any, ...], operation: Callable[[str], Op]) -> Turn:
    """The turn again."""
    carries, elements, constants, made, nexts, outs, names, texts, places, wishes = data
    given = (_inputs(carries), _inputs(elements), _inputs(constants))
    nodes: list[Node] = [each for group in given for each in group]
    for each in made:
        if len(each) == 1:
            nodes.append(const(each[0]))
        else:
            name, args, settings = each
            attrs = {key: decoded(value, operation) if key == "turn" else value for key, value in settings}
            nodes.append(apply(operation(name), *(nodes[i] for i in args), **attrs))
    lines = [Line(number, text, None) for number, text in texts]
    called, wished = (tuple((nodes[i], name) for i, name in group) for group in (names, wishes))
    notes = Notes(called, tuple((nodes[i], lines[place]) for i, place in places), wished)
    return Turn(*given, tuple(nodes[i] for i in nexts), tuple(nodes[i] for i in outs), notes)
