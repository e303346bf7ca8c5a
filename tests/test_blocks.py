"""value_and_grad in blocks: what all rows at once give, for any number of rows, blocks and threads."""

from __future__ import annotations

import inspect
import threading
import tracemalloc
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dsl.api import compile_text, module_of
from tests.numeric import Arrays, outputs_of, running
from tests.test_golden import EXAMPLES

BLOCK = 4
WALKED = [path for path in EXAMPLES if "_in_blocks" in (path.parents[1] / "generated" / f"{path.stem}.py").read_text(encoding="utf-8")]


def small_blocks(module: ModuleType, monkeypatch: pytest.MonkeyPatch, rows: int = BLOCK) -> None:
    for name, value in {"_LEAST_ROWS": rows, "_BLOCK_BYTES": 0, "_SMALL_BYTES": 0}.items():
        monkeypatch.setattr(module, name, value)


def made(text: str) -> Any:
    return module_of(compile_text(text, format=False), "blocks")


def assert_same(found: Any, expected: Any) -> None:
    value, gradients = found
    assert np.allclose(value, expected[0], rtol=1e-12, atol=1e-12, equal_nan=True)
    for name in gradients._fields:
        one, other = getattr(gradients, name), getattr(expected[1], name)
        assert one.shape == other.shape and one.dtype == other.dtype
        assert np.allclose(one, other, rtol=1e-9, atol=1e-11, equal_nan=True), name


def ways(module: Any) -> list[dict[str, int]]:
    """By one thread, and by more where these can share the blocks."""
    return [{"workers": n} for n in (1, 2, 3)] if "workers" in inspect.signature(module.value_and_grad).parameters else [{}]


def pair(module: Any, arguments: Arrays) -> Any:
    result, tape = module.forward(**arguments)
    return outputs_of(result)[0], module.backward(tape)


@pytest.mark.parametrize("path", WALKED, ids=lambda path: path.stem)
@pytest.mark.parametrize("rows", [1, 2, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 1, 3 * BLOCK])
def test_examples(path: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = running(path)
    (dim,) = {walk.dim for walk in found.program.walks}
    symbol = dim.symbols()[0].name
    arguments = found.arguments(np.random.default_rng(rows), {symbol: rows + 1})
    expected = pair(found.module, arguments)
    assert_same(found.module.value_and_grad(**arguments), expected)
    small_blocks(found.module, monkeypatch)
    for threads in ways(found.module):
        assert_same(found.module.value_and_grad(**arguments, **threads), expected)


# a program a line, over x and y of [N, D], an index i into D, and w of [D]: each is walked along N
PROGRAMS = {
    "sums": "L = sum(sigmoid(x @ w) ** 2) + sum(w)",
    "means": "L = mean((x @ w - y[:, 0]) ** 2) + mean(exp(x), axis=0) @ w",
    "rows": "L = sum(softmax(x * w) * tanh(y))",
    "gathered": "L = -mean(log_softmax(x * w)[arange(N), i])",
    "gathered from stacks": "z = stack([x * w, y * w, x + w], axis=1)\nL = -mean(log_softmax(z)[arange(N)[:, None], arange(3), stack([i, i, i], axis=1)])",
    "labelled stacks": "z = stack([x * w, y * w, x + w], axis=1)\nL = cross_entropy(tanh(z), stack([i, D - 1 - i, i], axis=1))",
    "labelled columns": "z = stack([x * w, y * w, x + w], axis=0)\nL = cross_entropy(tanh(z), stack([i, D - 1 - i, i], axis=0))",
    "counted": "L = sum(tanh(x @ w) * exp(-arange(N) / N))",
    "picked": "L = sum(tanh(w[i] * x[:, 0]) * sin(w[i]))",
    "pairs": "L = sum(tanh(w[stack([i, D - 1 - i], axis=1)] * x[:, :1]) * sin(w[i])[:, None] * cos(y[:, :1]))",
    "crossed": "M = outer(w, w)\nL = sum(tanh(M[i[:, None], arange(2)] * x[:, :1]) * sin(M[arange(2)[:, None], i].T) * cos(y[:, :1]))",
    "normed": "z = (x - mean(x, axis=0)) / sqrt(var(x, axis=0) + 1e-3)\nL = sum(sigmoid(z @ w) ** 2)",
    "apart": "L = sum(tanh(x[1:] - x[:-1]) ** 2 * exp(w))",
    "joined": "L = sum(tanh(concatenate([x * w, y], axis=1)) ** 2)",
    "sorted": "p = exp(x @ w)\nL = sum(sort(p) * arange(N)) + sum(tanh(sin(x * y) * w) ** 2 * cos(y))",
    "shaped": "L = sum(tanh(reshape(x * w, (N, 1, D)) * y[:, :, None] + reshape(x, (N, D, 1))) ** 2)",
    "merged": "z = stack([x, y], axis=1) @ outer(w, w)\nL = sum(sin(z) * cos(z) * tanh(z))",
    "columns": "z = x.T * w[:, None]\nL = sum(sin(z) * cos(z))",
    "largest": "p = tanh(x @ w)\nL = max(p) * sum(sin(p) * cos(p)) + sum(min(x * w, axis=0) * w) + sum(tanh(sin(x * y) * w) ** 2 * cos(y))",
    "shifted": "s = x @ w\nL = logsumexp(s) + sum(logsumexp(tanh(sin(y) * w) * sin(x) + cos(x * y), axis=0) * w)",
    "weighted": "v = y[:, 0] ** 2\nL = -sum(v * sin(x @ w) * cos(x @ w)) / sum(v + 1)",
    "rooted": "L = log(sqrt(mean(sin(x @ w) * tanh(x * y @ w)) + 2))",
    "twice": "s = sum(tanh(x @ w) * sin(x @ w))\nL = s * exp(-(s ** 2))",
    "moments": "L = sum(inv(einsum('ni,nj->ij', tanh(sin(x * w)), tanh(sin(x) * y)) + 9 * eye(D)) ** 2)",
}
# a difference does, and a mean
NEED_A_ROW = (
    *("apart", "means", "gathered", "gathered from stacks", "labelled stacks", "labelled columns"),
    *("normed", "largest", "shifted", "rooted", "weighted"),
)
HEAD = "input x: [N, D]\ninput y: [N, D]\ninput i: int[N] in 0:D\nparam w: [D]\n"


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("wrt", ["w", "x,y,w"])
def test_programs(name: str, wrt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD.replace("input", "param") if "x" in wrt else HEAD
    module = made(text.replace("param i", "input i") + PROGRAMS[name])
    assert "_in_blocks" in module.value_and_grad.__code__.co_names
    small_blocks(module, monkeypatch)
    for rows in range(1 if name in NEED_A_ROW else 0, 3 * BLOCK + 1):
        rng = np.random.default_rng(rows)
        with np.errstate(all="ignore"):
            arguments = {"x": rng.normal(size=(rows, 3)), "y": rng.normal(size=(rows, 3)), "i": rng.integers(0, 3, rows), "w": rng.normal(size=3)}
            for threads in ways(module):
                assert_same(module.value_and_grad(**arguments, **threads), pair(module, arguments))
            narrow = {key: each.astype(np.float32) if key != "i" else each for key, each in arguments.items()}
            value, gradients = module.value_and_grad(**narrow, **ways(module)[-1])
            assert {np.asarray(each).dtype for each in (value, *gradients)} == {np.dtype(np.float32)}


# x and y of [N, D] are cut into neighbours, and the gradients of the cuts are added to slices of theirs
NEIGHBOURS = {
    "next": "L = sum(tanh(x[1:] - x[:-1]) ** 2)",
    "far": "L = sum(sin(x[5:]) * cos(x[:-5])) + sum(x * y)",
    "three": "L = sum(tanh(x[2:] - 2 * x[1:-1] + x[:-2]) ** 2 * exp(y[1:-1]))",
    "both ways": "down = x[1:, :-1] - x[:-1, :-1]\nright = x[:-1, 1:] - x[:-1, :-1]\nL = sum((x - y) ** 2) + sum(sqrt(down ** 2 + right ** 2 + 0.1))",
    "columns": "L = sum(tanh(x[:, 1:] * x[:, :-1]) ** 2 * exp(y[:, :-1]))",
    "turned": "L = sum(tanh(x[::-1][1:] * x[:-1]) ** 2 * sin(y[1:]))",
    "steps": "L = sum(tanh(x[1::2] * x[:-1:2]) ** 2 * sin(y[1::2]))",
    "taken away": "L = sum(tanh(x[:-2] * y[1:-1])) - sum(exp(y[2:] * x[1:-1]) * sin(y[:-2]))",
    "of what is cut": "L = sum(tanh(pad(x, 1))) + sum(tanh(softmax(x, axis=0)) * y)",
    "means": "d = x[1:] - x[:-1]\nL = sum(tanh(d - mean(d, axis=0)) ** 2 * exp(d))",
}


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = made("param x: [N, D]\nparam y: [N, D]\n" + NEIGHBOURS[name])
    small_blocks(module, monkeypatch)
    for rows in range(8, 3 * BLOCK + 3, 2):
        rng = np.random.default_rng(rows)
        arguments = {"x": rng.normal(size=(rows, 5)), "y": rng.normal(size=(rows, 5))}
        for threads in ways(module):
            assert_same(module.value_and_grad(**arguments, **threads), pair(module, arguments))


# x and y of [N, D]: each row stands beside each, with M of [N, N] and w of [D, D]
BESIDE = {
    "attention": "L = mean((softmax(x @ w @ (y @ w).T / sqrt(D)) @ x - y) ** 2)",
    "masked": "L = sum(tanh(softmax(where(arange(N)[:, None] >= arange(N), x @ y.T, -1e9) + M) @ x @ w) ** 2)",
    "contrastive": "L = cross_entropy(x @ w @ y.T / 0.3, arange(N)) + sum(w ** 2)",
    "picked": "p = log_softmax(x @ w @ y.T)\nL = -mean(p[arange(N), arange(N)]) + 0.1 * mean(p)",
    "differences": "d = (x @ w)[:, 0][:, None] - y[:, 0]\nL = sum(logsumexp(-d ** 2, axis=1)) + mean(sqrt(d ** 2 + 1))",
    "columns": "s = sigmoid(x @ w @ y.T)\nL = sum(tanh(sum(s, axis=0)) * y[:, 0]) + sum(log(sum(s, axis=1)))",
    "distances": "L = sum(tanh(sum((x[:, None] - x @ w) ** 2, axis=-1)) * M)",
    "two layers": "z = tanh(softmax(x @ w @ x.T) @ y)\nL = sum((softmax(z @ w @ z.T) @ z - y) ** 2)",
    "turned": "s = exp(-(x @ w @ y.T) ** 2)\nL = sum((s @ y) * (s.T @ x))",
    "others than itself": "L = sum(log(sum(exp(x @ w @ x.T) * (1 - eye(N)), axis=1) + 1) * y[:, 0])",
    "rows of the result": "L = norm(softmax(x @ y.T) @ w0 - x[:, 0])\n",
}


@pytest.mark.parametrize("name", BESIDE)
def test_rows_beside_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = made(f"dim N ~ 5000\nparam x: [N, D]\ninput y: [N, D]\ninput M: [N, N]\nparam w: [D, D]\nparam w0: [N]\n{BESIDE[name]}\n")
    if name != "turned":
        small_blocks(module, monkeypatch, 3)
    for rows in range(1, 11, 3):
        rng = np.random.default_rng(rows)
        shapes = {"x": (rows, 4), "y": (rows, 4), "M": (rows, rows), "w": (4, 4), "w0": (rows,)}
        arguments = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        for threads in ways(module):
            assert_same(module.value_and_grad(**arguments, **threads), pair(module, arguments))


@pytest.mark.parametrize("name", ["attention", "contrastive", "picked", "differences", "others than itself"])
def test_a_square_of_rows_is_never_formed(name: str) -> None:
    rows, rng = 3000, np.random.default_rng(0)
    module = made(f"param x: [N, D]\ninput y: [N, D]\nparam w: [D, D]\nparam w0: [N]\n{BESIDE[name]}\n")
    arguments = {"x": rng.normal(size=(rows, 4)), "y": rng.normal(size=(rows, 4)), "w": rng.normal(size=(4, 4)), "w0": rng.normal(size=rows)}
    tracemalloc.start()
    module.value_and_grad(**arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * rows**2, peak


def test_a_sum_may_have_a_dimension_of_other_data_that_the_rows_have_too() -> None:
    """Of people and draws each gives the gradient of all tastes, which is no larger than what it is of."""
    people = "input X: [N, J, D]\ninput y: int[N] in 0:J\ninput draws: [R, D]\nparam s: [D]\n"
    text = compile_text(people + "p = log_softmax(X @ (s * draws).T, axis=1)[arange(N), y]\nL = -sum(logsumexp(p, axis=1))\n")
    assert "The N rows are gone through" in text


def test_squares_that_several_walks_need_are_taken_in_blocks_where_there_are_many_rows() -> None:
    text = f"param x: [N, D]\ninput y: [N, D]\nparam w: [D, D]\n{BESIDE['columns']}\n"
    assert "_in_blocks" not in compile_text(text)
    assert "gone through twice" in compile_text("dim N ~ 5000\n" + text)


def test_what_is_inverted_is_formed() -> None:
    text = compile_text("param x: [N, D]\nL = logdet(exp(-(x @ x.T) ** 2) + eye(N))\n")
    assert "_in_blocks" not in text


def test_gradients_of_neighbours_are_written_in_blocks() -> None:
    text = compile_text("param x: [N]\nL = sum(tanh(x[1:] - x[:-1] ** 2) ** 2)\n")
    block = text.partition("def value_and_grad")[2].partition("    def block(")[2].partition("    return L")[0]
    assert "_scatter" not in block and "dL_dx_from_0 -= " in block and "out=dL_dx_from_1)" in block
    assert "(x[:-1], x[1:], dL_dx[:-1], dL_dx[1:])" in text


def test_threads_share_neighbours_whose_places_are_numbers() -> None:
    shared = {name: len(ways(made("param x: [N, D]\nparam y: [N, D]\n" + program))) > 1 for name, program in NEIGHBOURS.items()}
    assert {name for name, yes in shared.items() if not yes} == {"steps"}


@pytest.mark.parametrize("name", ["weighted", "rooted", "twice"])
def test_what_only_the_end_knows_is_multiplied_on_there(name: str) -> None:
    """The way back does not wait for the value: one walk does both."""
    assert "are gone through a block at a time" in made(HEAD + PROGRAMS[name]).value_and_grad.__doc__


def test_a_dear_number_is_computed_once_and_not_in_each_block() -> None:
    text = compile_text("input x: [N]\nparam r: []\n\nL = sum(gammaln(x + 2 * gammaln(r)))\n")
    before, _, block = text.partition("def value_and_grad")[2].partition("    def block(")
    assert before.count("_gammaln(") == 1
    assert "_gammaln(r)" not in block


def test_memory_does_not_grow_with_the_batch() -> None:
    module = made("input x: [N, D]\ninput y: [N]\nparam w: [D]\nL = mean(binary_cross_entropy(x @ w, y))")

    def peak(rows: int) -> int:
        rng = np.random.default_rng(0)
        arguments = (rng.normal(size=(rows, 8)), rng.random(rows), rng.normal(size=8))
        tracemalloc.start()
        module.value_and_grad(*arguments)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    # rows are shared out evenly, so that few blocks are of different sizes than many
    assert peak(800_000) < 1.2 * peak(400_000)


def test_blocks_are_shared_among_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    module = made(HEAD + PROGRAMS["sums"])
    small_blocks(module, monkeypatch)
    seen: set[int] = set()
    sigmoid = module._sigmoid
    monkeypatch.setattr(module, "_sigmoid", lambda x: seen.add(threading.get_ident()) or sigmoid(x))
    rng = np.random.default_rng(0)
    module.value_and_grad(rng.normal(size=(30, 3)), rng.normal(size=(30, 3)), rng.integers(0, 3, 30), rng.normal(size=3), workers=3)
    assert len(seen) >= 2 and threading.get_ident() in seen


def test_a_penalty_leaves_the_cores_to_the_blocks() -> None:
    """BLAS would take a thread for so many entries, and its thread would go on looking for work while the next call's blocks want the core."""
    text = "input x: [N, D]\nparam W: [D, K]\nL = mean(tanh(x @ W)) + sum(W ** 2)"
    module = made(text)
    x, W = np.ones((3, 200)), np.arange(20_000.0).reshape(200, 100) / 20_000
    value, _ = module.value_and_grad(x, W, workers=2)
    np.testing.assert_allclose(value, module.value(x, W), rtol=1e-14)
    assert "_dot_all(W, W)" in compile_text(text)


@pytest.mark.parametrize("form", ["((A[1:] - A[:-1]) @ w) ** 2", "softmax(A[2:] * A[:-2] @ W) ** 2", "cumsum((A[1:] - A[:-1]) @ w, axis=1)"])
def test_neighbours_that_are_matrices(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of N - 1 rows of T vectors each is N * T - T vectors, and counts its own."""
    module = made(f"input A: [N, T, D]\nparam w: [D]\nparam W: [D, K]\nL = sum({form}) + sum(w) + sum(W)")
    small_blocks(module, monkeypatch)
    rng = np.random.default_rng(0)
    A, w, W = rng.normal(size=(15, 2, 3)), rng.normal(size=3), rng.normal(size=(3, 2))
    outcome, tape = module.forward(A, w, W)
    value, gradients = module.value_and_grad(A, w, W)
    np.testing.assert_allclose(value, outcome, rtol=1e-12)
    for found, expected in zip(gradients, module.backward(tape), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", [0, 1, 10_000, 10_001, 16_384, 20_001])
def test_products_of_vectors_stay_on_the_callers_thread(count: int) -> None:
    """A thread of BLAS's own, woken for each block, is waited for again and again where another program has its core."""
    text = "param x: [N]\nL = sum((sin(x) - x ** 3 / 2) ** 2)"
    module = made(text)
    x = np.random.default_rng(count).normal(size=count)
    difference = np.sin(x) - x**3 / 2
    value, gradients = module.value_and_grad(x)
    np.testing.assert_allclose(value, (difference**2).sum(), rtol=1e-14)
    np.testing.assert_allclose(gradients.x, 2 * difference * (np.cos(x) - 1.5 * x**2), rtol=1e-12, atol=1e-14)
    assert "_dot_all(" in compile_text(text).partition("def block")[2]


def test_what_fails_on_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    module = made("input A: [N, D, D]\nparam w: [D]\nL = sum(tanh(solve(A, w * ones((N, D, 1))[:, :, 0][..., None])) ** 2)")
    small_blocks(module, monkeypatch)
    matrices = np.broadcast_to(np.eye(3), (20, 3, 3)).copy()
    matrices[-1] = 0
    with pytest.raises(np.linalg.LinAlgError, match="line 3"):
        module.value_and_grad(matrices, np.ones(3), workers=2)


def test_workers_are_at_least_one() -> None:
    module = made(HEAD + PROGRAMS["sums"])
    with pytest.raises(ValueError, match="workers must be at least 1, not 0"):
        module.value_and_grad(np.ones((2, 3)), np.ones((2, 3)), np.zeros(2, int), np.ones(3), workers=0)


def test_a_name_of_the_users_own_goes_first() -> None:
    module = made("input x: [N, D]\nparam w: [D]\nconst workers = 2.0\nblock = x @ w\nrows = tanh(block)\nL = sum(rows ** 2) * workers")
    x, w = np.ones((4, 2)), np.ones(2)
    assert_same(module.value_and_grad(x, w, workers=3.0), pair(module, {"x": x, "w": w, "workers": 3.0}))
    assert module.value_and_grad(x, w, workers_2=2)[0] == module.value(x, w)


@pytest.mark.parametrize(
    "text",
    [
        "param x: [N]\nL = sum(x ** 2)",  # one step: nothing lies between
        "param x: [N, N]\nL = sum(tanh(x @ x) ** 2)",  # rows and columns are one dimension
        "param x: [3]\nL = sum(tanh(exp(x)) ** 2)",  # a number of rows that is known
        "input x: [T, D]\nparam w: [D]\ndef step(h, r) = tanh(h * w + r)\nL = sum(tanh(fold(step, zeros(D), x)) ** 2)",  # turn after turn
    ],
)
def test_what_is_not_walked(text: str) -> None:
    assert not hasattr(made(text), "_in_blocks")


def test_an_array_of_the_parameters_shape_is_no_batch() -> None:
    text = "input x: [N, E]\ninput y: [N, D]\nparam W: [E, D]\ninput before: [E, D]\nL = mean(log(sigmoid(sum((x @ W - x @ before) * y, axis=1))))"
    assert "The N rows are gone through" in made(text).value_and_grad.__doc__


UNDER_ANOTHER_NAME = (
    *("x.T @ (y + x)", "einsum('ij,ij->j', x, y + x)", "(y + x) * x", "where(x > 0, y + x, x)", "stack((x, y + x))"),
    *("concatenate((x, y + x), axis=1)", "x.at[arange(x.shape[0]), argmax(x, axis=1)].add(sum(y + x, axis=1))"),
    "(x.T @ x)[argmax(x, axis=1), argmax(y + x, axis=1)]",
)


@pytest.mark.parametrize("read", ["sum(v, axis=0)", "sin(v)[:-1]", "v[-1]"])
def test_twice_as_many_rows_as_columns(read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block has so many columns, but not twice as many rows."""
    module = made(f"param y: [N, N]\nv = concatenate([y, cos(y)], axis=0)\nL = sum(tanh(v)) + sum(sin(tanh(v) / N)) + sum(tanh({read}))\n")
    if hasattr(module, "_in_blocks"):  # it may well go without
        small_blocks(module, monkeypatch)
    y = np.random.default_rng(0).normal(size=(10, 10))
    value, gradients = module.value_and_grad(y)
    expected, tape = module.forward(y)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_allclose(gradients.y, module.backward(tape).y, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("term", UNDER_ANOTHER_NAME)
def test_rows_whose_number_has_another_name(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where shapes are not declared, y + x has as many rows as the larger of the two, which only a call shows to be x's."""
    squares = "sum(tanh(x.T @ x)) + sum(tanh(y.T @ y))"
    module = made(f"v = x.T\nL = 0.3 * tanh(sum(x)) + sum(tanh({term})) + sum(tanh(tanh(tanh(v)))) + {squares}\n")
    small_blocks(module, monkeypatch, 2)
    x, y = np.random.default_rng(0).normal(size=(2, 7, 3))
    assert_same(module.value_and_grad(x=x, y=y), pair(module, {"x": x, "y": y}))
    assert_same(module.value_and_grad(x=x, y=y[:1]), pair(module, {"x": x, "y": y[:1]}))


def test_a_maximum_over_rows_that_are_all_the_same() -> None:
    """Which nothing that has rows counts."""
    module = module_of(compile_text(HEAD + "L = sum(max(broadcast_to(w, (N, D)), axis=0)) + sum(sin(one_hot(i, D) * x[:, :1]))\n", "it"), "it")
    x, w, i = np.ones((4, 3)), np.arange(3.0), np.array([0, 2, 1, 1])
    value, gradients = module.value_and_grad(x, x, i, w)
    np.testing.assert_allclose(value, 3 + 4 * np.sin(1.0))
    np.testing.assert_allclose(gradients.w, 1.0)


def test_a_hint_chooses_the_dimension() -> None:
    text = "input x: [M, N]\nparam w: [M, N]\nL = sum(tanh(w * x) * sin(w * x))"
    assert "The M rows" in made(text).value_and_grad.__doc__
    assert "The N rows" in made(f"dim N ~ 100_000\n{text}").value_and_grad.__doc__
    assert "The N rows" in made(f"dim M ~ 100\n{text}").value_and_grad.__doc__
