"""A program as the steps that a person reads."""

from pathlib import Path

import pytest

from dsl.api import compile_path
from dsl.diagnostics import Source
from dsl.pipeline import compile_source
from dsl.views.steps import Composition, composition

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.expr"))


def steps_of(text: str) -> Composition:
    return composition(compile_source(Source("program.expr", text), "program").program)


def test_the_books_function() -> None:
    found = steps_of("L = sum(sigmoid(X @ W))")
    assert [f"{each.name} = {each.text}" for each in found.steps] == ["N = X @ W", "S = sigmoid(N)", "L = sum(S)"]
    assert [each.span.text for each in found.steps] == ["X @ W", "sigmoid(X @ W)", "sum(sigmoid(X @ W))"]
    assert [each.shape for each in found.steps] == ["[X.shape[0], W.shape[1]]", "[X.shape[0], W.shape[1]]", "[]"]
    assert [[operand.step for operand in each.operands] for each in found.steps] == [[None, None], [1], [2]]
    assert found.outputs == (("L", 3),) and [each.name for each in found.arguments] == ["X", "W"]


def test_a_name_made_for_a_step_is_nobody_elses() -> None:
    found = steps_of("input X: [N, D]\ninput W: [D, K]\nM = tanh(X @ W)\nL = sum(M * M) + sum(X @ W)")
    names = [each.name for each in found.steps]
    assert len(set(names)) == len(names) and {"M", "L"} < set(names) and {"N", "D", "K", "X", "W"}.isdisjoint(names)
    assert [each.named for each in found.steps if each.name in "ML"] == [True, True]


def test_an_operation_that_is_written_twice_is_one_step() -> None:
    found = steps_of("y = exp(x) + 1 / exp(x)")
    assert [each.title for each in found.steps] == ["exp", "/", "+"]
    assert [span.column for span in found.steps[0].spans] == [5, 18]


def test_a_function_of_the_library_is_one_step_and_the_users_is_its_body() -> None:
    found = steps_of(
        "input x: [N]\ndef loss(P, y):\n    error = P - y\n    return mse(error, 0 * y)\n"
        "rule twice(x) -> out\n    value  2 * x\n    d/dx   2\nL = loss(twice(x), softmax(x)) + loss(x, x)"
    )
    assert [each.title for each in found.steps] == ["twice", "softmax", "-", "*", "mse", "-", "*", "mse", "+"]
    assert [each.name for each in found.steps][2::3] == ["error", "error_2", "L"]
    assert [call.span.text for call in found.steps[2].calls] == ["loss(twice(x), softmax(x))"]
    assert found.steps[0].calls == () and found.steps[2].span.text == "P - y" and found.steps[2].line.number == 8


def test_the_steps_of_a_turn_stand_within_their_loop() -> None:
    found = steps_of("input X: [T, D]\nparam W: [D, D]\ndef step(h, x) = tanh(h @ W + x)\nh = fold(step, zeros(D), X)\nL = sum(h)")
    loop = next(each for each in found.steps if each.title == "fold")
    assert [each.title for each in found.steps if each.inside == loop.number] == ["@", "+", "tanh"]
    assert loop.inside is None and loop.text == "fold(step, Z, X)"


def test_what_a_derivative_is_taken_of_is_shown() -> None:
    found = steps_of("param w: [D]\nf = sum(w ** 4)\ng = grad(f, w)\noutput g")
    assert [f"{each.name} = {each.text}" for each in found.steps] == ["P = w**4", "f = sum(P)", "g = grad(f, w)"]


def test_parts_have_names_of_their_own() -> None:
    found = steps_of("input x: [6]\na, b = split(x, 2)\nL = sum(a * b)")
    assert found.steps[0].names == ("a", "b") and found.steps[1].text == "a * b"
    assert [operand.step for operand in found.steps[1].operands] == [1, 1]


def test_a_step_of_an_imported_function_has_its_place_in_the_file() -> None:
    path = Path(__file__).parent / "cases" / "imports.expr"
    found = composition(compile_path(path).program)
    inner = [each for each in found.steps if each.span.source.name != str(path)]
    assert inner and all(each.within(str(path)).source.name == str(path) for each in inner)


def test_a_node_of_the_last_stage_tells_which_steps_it_stands_for() -> None:
    found = steps_of("input Z: [N, K]\nL = sum(log(softmax(Z)))")
    ((_, total),) = found.program.outputs
    assert found.standing_for(total) == (3,)
    assert found.standing_for(total.args[0]) == (2,), "log(softmax(Z)) became one operation"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_a_composition(path: Path) -> None:
    found = composition(compile_path(path).program)
    names = [name for each in found.steps for name in each.names]
    assert len(set(names)) == len(names) and all(number is not None for _, number in found.outputs)
    for number, each in enumerate(found.steps, 1):
        assert each.number == number and "…" not in each.text
        assert all(operand.step is None or operand.step < number for operand in each.operands)
        assert all(span.text.strip() == span.text and span.text for span in each.spans)
