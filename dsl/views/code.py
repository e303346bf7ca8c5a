"""Which lines of the generated module belong to which step.

``forward`` computes the steps, ``backward`` their derivatives: what is multiplied by the derivative of a step, the cotangents of its operands,
belongs to that step too.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dsl.emit.view import view
from dsl.nodes import Input, Node, Program, topological
from dsl.pipeline import VERSION, Compiled
from dsl.views.steps import LOOPS, Composition, Step

Lines = tuple[int, ...]
MOST_STEPS = 60


@dataclass(frozen=True)
class Listing:
    """A module's lines, counted from 1: ``forward`` by the number of a step, ``backward`` by the name of a value that has a cotangent;
    ``steps`` are those of each line, ``functions`` the lines of each function."""

    lines: tuple[str, ...]
    forward: Mapping[int, Lines]
    backward: Mapping[str, Lines]
    steps: Mapping[int, tuple[int, ...]]
    functions: Mapping[str, range]

    def shown(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Lines as they stand there, without the indentation that all have."""
        return tuple(textwrap.dedent("\n".join(self.lines[number - 1] for number in numbers)).splitlines())


def listing(compiled: Compiled, composition: Composition) -> Listing:
    """The lines of a compiled program's steps."""
    lines = tuple(compiled.text.rstrip("\n").split("\n"))
    functions = {each.name: each for each in ast.parse(compiled.text).body if isinstance(each, ast.FunctionDef)}
    return _Placing(compiled.program, composition, *(_Function(functions[name], lines) for name in ("forward", "backward"))).listing(lines)


class _Placing:
    """Finds the lines of nodes, and so of steps."""

    def __init__(self, program: Program, composition: Composition, ahead: _Function, back: _Function) -> None:
        self.program, self.composition, self.ahead, self.back = program, composition, ahead, back
        self.called = view(program, VERSION).called
        self.made = set(topological(node for _, node in program.outputs))
        self.users = _users(program)

    def listing(self, lines: tuple[str, ...]) -> Listing:
        forward: dict[int, Lines] = {}
        backward: dict[str, Lines] = {}
        steps: dict[int, dict[int, None]] = {}
        for node, numbers in self._steps().items():
            found = self._lines(node)
            for line in found:
                steps.setdefault(line, {}).update(dict.fromkeys(numbers))
            for number in self.composition.standing_for(node) if node in self.made else ():
                forward[number] = _joined(forward.get(number, ()), found)
            for name in self._of_cotangent(node):
                backward[name] = _joined(backward.get(name, ()), found)
        for step in reversed(self.composition.steps):
            if step.inside is not None or step.title in LOOPS:
                found = self._of_loop(step)
                forward[step.number] = _joined(forward.get(step.number, ()), (each for each in found if each in self.ahead.every))
                for line in found:
                    steps.setdefault(line, {})[step.number] = None
            elif not forward.get(step.number):
                # it went into another step
                readers = (each for each in self.composition.steps if any(operand.step == step.number for operand in each.operands))
                forward[step.number] = next((forward[each.number] for each in readers if forward.get(each.number)), ())
                for line in forward[step.number]:
                    steps.setdefault(line, {})[step.number] = None
        functions = {"forward": self.ahead.every, "backward": self.back.every}
        # what adds up the parts of half a program is nobody's
        shared = {line: tuple(sorted(found)) for line, found in sorted(steps.items()) if len(found) <= MOST_STEPS}
        return Listing(lines, forward, backward, shared, functions)

    def _of_cotangent(self, node: Node) -> list[str]:
        """The names of the values whose cotangent a node is."""
        primal = self.program.adjoints.get(node) if node not in self.made else None
        if primal is None:
            return []
        return [primal.name] if isinstance(primal, Input) else [self.composition.of(number).name for number in self.composition.standing_for(primal)]

    def _steps(self) -> dict[Node, tuple[int, ...]]:
        """The steps that each node serves: those that it stands for, those whose operand it is the cotangent of, else those of its readers."""
        readers: dict[str, list[int]] = {}
        for step in self.composition.steps:
            for operand in step.operands:
                readers.setdefault(operand.name, []).append(step.number)
        found: dict[Node, tuple[int, ...]] = {}
        for node in reversed(topological(self.program.roots)):
            if isinstance(node, Input):
                continue
            own = self.composition.standing_for(node) if node in self.made else tuple(n for name in self._of_cotangent(node) for n in readers.get(name, ()))
            near = [user for user in self.users[node] if (user in self.made) == (node in self.made)]
            found[node] = own or tuple(dict.fromkeys(number for user in near for number in found[user]))
        return found

    def _lines(self, node: Node) -> Lines:
        """The statements that a node is part of: its own, or those of the nodes that its text went into."""
        found: list[int] = []
        function = self.ahead if node in self.made else self.back
        stack, seen = [node], {node}
        while stack:
            each = stack.pop()
            if each in self.called:
                found += function.assigned.get(self.called[each], ())
                continue
            near = [user for user in self.users[each] if (user in self.made) == (node in self.made) and user not in seen]
            seen.update(near)
            stack += near
        return _joined((), found)

    def _of_loop(self, step: Step) -> Lines:
        """The lines of a loop; of a step of its turn those within the ``for``, the one of its name if there is one."""
        line = self.composition.of(step.inside or step.number).line.text
        found = _joined(self.ahead.under(line), self.back.under(line))
        if step.inside is None:
            return found
        inner = tuple(number for number in found if number in self.ahead.looped or number in self.back.looped)
        own = tuple(number for name in step.names if step.named for number in self.ahead.assigned.get(name, ()) if number in inner)
        return own or inner


def _joined(one: Lines, other: Iterable[int]) -> Lines:
    return tuple(sorted({*one, *other}))


def _users(program: Program) -> dict[Node, list[Node]]:
    """Who reads each node."""
    users: dict[Node, list[Node]] = {}
    for node in topological(program.roots):
        users.setdefault(node, [])
        for arg in node.args:
            users[arg].append(node)
    return users


class _Function:
    """A generated function: the lines that assign each name, and those under each comment."""

    def __init__(self, function: ast.FunctionDef, lines: tuple[str, ...]) -> None:
        self.assigned: dict[str, list[int]] = {}
        self._under: dict[str, list[int]] = {}
        loops = [each for each in ast.walk(function) if isinstance(each, ast.For)]
        self.looped = {number for each in loops for number in range(each.lineno + 1, (each.end_lineno or 0) + 1)}
        self.every = range(function.lineno, (function.end_lineno or 0) + 1)
        for statement in _statements(function):
            for name in _targets(statement):
                self.assigned.setdefault(name, []).extend(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
        # the line of the source stands in a comment over its steps, or is what they are guarded with
        guards = dict(_guards(function))
        comment = ""
        for number in range(function.body[0].lineno, (function.end_lineno or 0) + 1):
            text = lines[number - 1].strip()
            if text.startswith("# "):
                # within a turn stand the lines of its function, all of them under that of the loop
                comment = comment if number in self.looped else text[2:]
            elif number in guards:
                comment = guards[number]
            elif comment and not text.startswith(("return ", "tape = ")):
                self._under.setdefault(comment, []).append(number)

    def under(self, comment: str) -> Lines:
        return tuple(self._under.get(comment, ()))


def _guards(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The lines with ``with _line(4, "x = solve(A, b)"):``, and what they say."""
    for each in ast.walk(tree):
        if isinstance(each, ast.With) and isinstance(call := each.items[0].context_expr, ast.Call):
            yield each.lineno, str(ast.literal_eval(call.args[1]))


def _statements(tree: ast.AST) -> Iterator[ast.stmt]:
    for each in ast.walk(tree):
        if isinstance(each, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            yield each


def _targets(statement: ast.stmt) -> Iterator[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target] if isinstance(statement, (ast.AugAssign, ast.AnnAssign)) else []
    for target in targets:
        for each in target.elts if isinstance(target, ast.Tuple) else [target]:
            if isinstance(each, ast.Subscript):
                each = each.value
            if isinstance(each, ast.Name):
                yield each.id


__all__ = ["Listing", "listing"]
