"""``value_and_grad``, and the other ways that it may take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dsl.calculus.apart import usual
from dsl.calculus.pieces import on_threads
from dsl.emit.blocks import InWalks
from dsl.emit.body import live, user_names
from dsl.emit.function import (
    RESERVED,
    argument_names,
    argument_type,
    backward_order,
    bind_arguments,
    fresh,
    opening,
    quoted,
    scalar,
    signature,
    uses_of,
    with_cotangents,
)
from dsl.emit.guard import guarded, indented
from dsl.emit.module import FunctionView
from dsl.emit.reuse import Frugal
from dsl.nodes import Node, Program, topological
from dsl.ops.factorisations import with_parts

_KEEPS_ARRAYS = "a dict, empty at first, that keeps arrays for the next call to fill again; each thread has its own."
_KEEPS_NONE = "not used, for what is large is made a block at a time."
# so many entries of an array that need not be formed make another way worth a look
LARGE = 32768


def fused(program: Program, others: Sequence[Program] = (), workspace: bool = False) -> FunctionView:
    """Value and gradients in one function, the cotangent 1 worked in, after what it may call instead of going on. Such a way is called by
    another function, which has checked its arguments, and returns None where a guard does not hold."""
    program = with_cotangents(program, program.fused_adjoints)
    roots = tuple(node for _, node in program.fused)
    first = roots[0]
    first_nodes = set(topological([first]))
    order = backward_order(program, [node for node in program.names if node in first_nodes], roots)
    body = Frugal(program, user_names(program, RESERVED, order), uses_of(order, (*roots, *(arg for node in program.guards for arg in node.args))), roots)
    bind_arguments(body, program)
    told, workers = list(program.hastened), body.names.fresh("workers") if on_threads(program.walks) else ""
    called = [line for other in others for line in _calling(other, body, workers)]
    kept = body.names.fresh("workspace") if workspace else ""
    if kept:
        body.room = body.names.fresh("room")
        called.append(f"{body.room} = _room({kept}, {body.dtype})")
    if program.walks:
        told.insert(0, _said_of_walks(program))
    in_walks = InWalks(body, order, program.walks)
    _ask(body, order)
    in_walks.emit(workers)
    copies = fresh(program.fused[1:], body, {each.node for each in program.arguments})
    lines = body.reused(f"return {scalar(first, body.texts[first].text)}, Gradients({', '.join(copies)})")
    lines = live([*opening(program, body, ()), *called, *lines])
    if body.overwrites:
        told.append("Arrays that nothing reads any more are overwritten.")
    told += [other.way.said for other in others if other.way]
    more = [(workers, "int = 1", "how many threads share the blocks.")] if workers else []
    if kept:
        used = any(f"{body.room}(" in line for line in lines)
        more.append((kept, "dict[str, NDArray[Any]] | None = None", _KEEPS_ARRAYS if used else _KEEPS_NONE))
    return _function(program, told, more, guarded(lines, body.raising, program))


def _function(program: Program, told: Sequence[str], more: Sequence[tuple[str, str, str]], lines: Sequence[str]) -> FunctionView:
    """The function of these lines: what is ``told`` of it, and ``more`` arguments, by name, type and meaning."""
    said = _paragraphs(f"{program.outputs[0][0]} and its gradients.", told, [f"{name}: {meaning}" for name, _, meaning in more])
    if program.way:
        given = [f"{each.node.name}: {argument_type(each.node)}" for each in program.arguments] + [f"{name}: int" for name, *_ in more]
        return FunctionView(program.way.name, ", ".join(given), "tuple[Any, Gradients] | None", said, tuple(lines))
    arguments = signature(program)
    arguments += "".join(["" if "*" in arguments or not more else ", *", *(f", {name}: {type}" for name, type, _ in more)])
    return FunctionView("value_and_grad", arguments, "tuple[Any, Gradients]", said, tuple(lines))


def _ask(body: Frugal, order: Iterable[Node]) -> None:
    """The statements that leave the function where a guard does not hold, after what the guards are of."""
    guards = body.program.guards
    body.emit(with_parts(topological(guards), order))
    body.lines += [f"if not {body.texts[guard].text}:\n    return None" for guard in guards]


def _calling(other: Program, body: Frugal, workers: str) -> list[str]:
    """The statements that ask for the other way with large arrays."""
    way, found = other.way, body.names.fresh("found")
    assert way is not None
    call = f"{found} = {way.name}({', '.join([argument_names(other), *[workers or '1'] * on_threads(other.walks)])})"
    result = f"_rounded(*{found}, {body.dtype})" if way.double else found
    # what is not finite may only be so this way, and the other says itself where it is
    lines = [f'with np.errstate(divide="ignore", invalid="ignore"):\n    {call}' if way.finite else call]
    lines.append(f"if {found} is not None{f' and _all_finite(*{found})' * way.finite}:\n    return {result}")
    return lines if way.spared is None else ["\n".join([f"if {body.dim(way.spared)} >= {LARGE}:", *map(indented, lines)])]


def _paragraphs(first: str, *more: Sequence[str]) -> str:
    """A docstring of several paragraphs, a sentence to a line."""
    shown = ["\n".join(f"    {quoted(line)}" for line in lines) for lines in more if lines]
    return "\n\n".join([first, *shown]) + ("\n" if shown else "")


def _said_of_walks(program: Program) -> str:
    """What a reader should know of the blocks."""
    times = {1: "", 2: " twice,"}.get(len(program.walks), f" {len(program.walks)} times,")
    return f"The {usual(program.walks[0].dim)} rows are gone through{times} a block at a time: what is made of a block stays in the cache."


__all__ = ["fused"]
