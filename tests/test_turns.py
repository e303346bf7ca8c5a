"""The turns of loops are to be read: a source line over its steps, the user's names, cotangents called after their primals."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dsl
from dsl import syntax
from dsl.diagnostics import Source
from dsl.nodes import Apply, Line, Notes, argument
from dsl.ops.elementwise import ew
from dsl.ops.words import bare, phrase, plural, spoken
from dsl.parse import parse
from dsl.pipeline import Compiled, Options, compile_source
from dsl.types import TensorType
from tests.test_golden import CASES, EXAMPLES, MODULES

LOOPS = [path for path in (*EXAMPLES, *CASES) if re.search(r"\b(?:fold|scan)\(", path.read_text())]
_LOOP = re.compile(r"^( *)for \w+ in (reversed\()?range\(")
_TARGET = re.compile(r"^([A-Za-z]\w*)(?:\[.*?\])? (?:\+|-)?= ")


def functions(path: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """The functions of a program: the line of every name that one makes, and all its lines, in order."""
    for each in parse(Source(path.name, path.read_text())).statements:
        if isinstance(each, syntax.Def):
            named = {name.id: Line.of(one.span).text for one in each.body for name in one.targets}
            yield named, [*dict.fromkeys(named.values()), Line.of((each if each.inline else each.result).span).text]


def turns(text: str) -> Iterator[tuple[bool, list[tuple[str, str]]]]:
    """The loops of a module, whether they run backwards, and their own statements, each with the comment that it stands under."""
    stack: list[tuple[int, bool, list[tuple[str, str]], list[str]]] = []
    for line in [*text.splitlines(), "end"]:
        depth = len(line) - len(line.lstrip())
        while stack and line.strip() and depth < stack[-1][0]:
            _, backwards, found, _ = stack.pop()
            yield backwards, found
        loop = _LOOP.match(line)
        if stack and depth == stack[-1][0]:
            if line.lstrip().startswith("#"):
                stack[-1][3][:] = [line.strip()[2:]]
            else:
                stack[-1][2].append((line.strip(), stack[-1][3][0]))
        if loop:
            stack.append((depth + 4, loop[2] is not None, [], [""]))


@pytest.mark.parametrize("path", LOOPS, ids=lambda path: path.stem)
def test_every_named_step_stands_under_its_line(path: Path) -> None:
    for backwards, lines in turns(MODULES[path].read_text()):
        for line, comment in lines:
            name = target[1] if (target := _TARGET.match(line)) else ""
            for named, own in functions(path):
                if name in named and comment in own and not backwards:
                    assert comment == named[name]


@pytest.mark.parametrize("path", LOOPS, ids=lambda path: path.stem)
def test_a_turn_says_lines_of_its_function(path: Path) -> None:
    for _, lines in turns(MODULES[path].read_text()):
        said = {comment for _, comment in lines if comment}
        assert not said or any(said <= {*own} for _, own in functions(path))


@pytest.mark.parametrize("path", LOOPS, ids=lambda path: path.stem)
def test_a_cotangent_stands_under_a_line_below_that_of_its_primal(path: Path) -> None:
    for backwards, lines in turns(MODULES[path].read_text()):
        for line, comment in lines:
            name = target[1] if (target := _TARGET.match(line)) else ""
            for named, own in functions(path):
                if backwards and name.startswith("d") and name[1:] in named and comment in own:
                    assert own.index(comment) > own.index(named[name[1:]])


CELL = """param W: [K, K]
param h0: [K]
input X: [T, K]
def cell((h, c), x):
    gate = sigmoid(x + h @ W)
    kept = gate * c + x
    return tanh(kept), kept
h, c = fold(cell, (h0, h0), X)
L = sum(h * c)
"""


def compiled(text: str) -> Compiled:
    return compile_source(Source("it.expr", text), "it", Options())


def loop_of(text: str, function: str, backwards: bool) -> list[str]:
    """The lines of a function's first loop that runs so."""
    body = text.partition(f"def {function}(")[2].partition("\ndef ")[0]
    start = body.index("    for t in reversed(" if backwards else "    for t in range(")
    lines = body[start:].splitlines()[1:]
    return [line.strip() for line in lines[: next((i for i, line in enumerate(lines) if not line.startswith("        ")), len(lines))]]


def test_a_turn_reads_like_its_source() -> None:
    lines = loop_of(dsl.compile_text(CELL), "value", False)
    assert lines == [
        "x = X[t]",
        "# gate = sigmoid(x + h @ W)",
        "gate = _sigmoid(x + h @ W)",
        "# kept = gate * c + x",
        "kept = gate * c + x",
        "c = kept",
        "# return tanh(kept), kept",
        "h = np.tanh(kept)",
    ]


def test_the_loop_of_a_derivative_reads_like_its_source_backwards() -> None:
    lines = loop_of(dsl.compile_text(CELL), "backward", True)
    comments = [line for line in lines if line.startswith("#")]
    assert comments == ["# return tanh(kept), kept", "# kept = gate * c + x", "# gate = sigmoid(x + h @ W)"]
    for name in ("dkept = ", "dc = ", "dh = "):
        assert sum(line.startswith(name) for line in lines) == 1


def test_a_function_of_one_line_is_said_once() -> None:
    text = dsl.compile_text("param W: [K, K]\ninput X: [T, K]\ndef f(h, x) = tanh(x + h @ W)\nL = sum(fold(f, zeros(K), X))\n")
    for function, backwards in (("forward", False), ("backward", True), ("value", False)):
        lines = loop_of(text, function, backwards)
        assert lines[0] == "# def f(h, x) = tanh(x + h @ W)"
        assert not any(line.startswith("#") for line in lines[1:])


def test_carries_that_read_each_other_change_at_once() -> None:
    text = dsl.compile_text("param a, b: [K]\ndef f((p, q)) = q, p + sin(q)\np, q = fold(f, (a, b), 3)\nL = sum(p * q)\n")
    assert "p, q = q, p + np.sin(q)" in text


def test_lines_are_those_of_the_program_at_hand() -> None:
    first = compiled(CELL)
    second = compiled("\n\n" + CELL.replace("gate", "door").replace("kept", "cell_state"))
    for name in ("gate", "kept"):
        assert name in first.text
        assert not re.search(rf"\b{name}\b", second.text)


def test_what_is_told_of_a_turn_goes_along() -> None:
    x = argument("x", "input", TensorType("float", ()))
    y, z = ew("sin", x), ew("cos", ew("sin", x))
    line = Line(3, "y = sin(x)", None)
    notes = Notes.of((z,), {y: "y", x: "x"}, {y: line, z: line}, {z: "z"})
    assert notes == Notes(((y, "y"),), ((y, line), (z, line)), ((z, "z"),))
    new = ew("exp", ew("tanh", x))
    moved = notes.mapped({y: ew("tanh", x), z: new}, (new,))
    assert dict(moved.names) == {ew("tanh", x): "y"} and dict(moved.wishes) == {new: "z"}
    assert {node for node, _ in moved.lines} == {new, ew("tanh", x)}
    assert notes.joined(notes) == notes


def test_names_are_made_of_what_is_done_to_what() -> None:
    x, y = (argument(name, "input", TensorType("float", ())) for name in ("x", "y"))
    total = ew("add", x, y)
    assert isinstance(total, Apply)
    assert phrase(total, ["x", "y"]) == "x_plus_y"
    assert phrase(total, ["x", "y + 1"]) == "added"
    assert spoken(x, {}) == "x" and spoken(total, {}) == "x_plus_y" and spoken(total, {total: "s"}) == "s"
    assert bare("added") and bare("dadded") and not bare("dx") and not bare("x_plus_y")
    assert [plural(each) for each in ("S", "memory", "x", "u_2", "kept")] == ["Ss", "memories", "x_all", "u_2_all", "kepts"]
