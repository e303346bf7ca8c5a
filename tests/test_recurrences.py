"""Loops that only scale what they carry and add to it: many turns side by side give what they give one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsl import compile_text
from dsl.api import module_of
from dsl.diagnostics import Source
from dsl.emit.helpers import _recurrence
from dsl.pipeline import Options, compile_source

FORMS = {
    "a variance": """
input x: [T]
param omega, a, b: [] unit
def step(v, x) = omega + a * x ** 2 + b * v
v = scan(step, 0.1, x)
L = sum(log(v) + x ** 2 / v)
""",
    "smoothing where there is data": """
input x: [T]
param a: [] unit
param v0: []
def step(v, x) = where(x > 0, a * x + (1 - a) * v, v)
v = scan(step, v0, x)
L = sum((x - v) ** 2)
""",
    "a moving average": """
input x: [T]
param a, b: [] unit
def step((e, s), x):
    e2 = x - a - b * e
    return e2, s + e2 ** 2
e, s = fold(step, (0.0, 0.0), x)
L = s + e
""",
    "one carry reads another": """
input x: [T]
param a, b: [] unit
def step((u, v), x):
    u2 = -(a * u + x)
    return u2, b * v - u2 / 3 + u
u, v = scan(step, (1.0, 2.0), x)
L = sum(u * v)
""",
    "what the turns before were given": """
input x: [T]
param a, b, c: [] unit
def step((e, before, earlier), x) = x - a * before - b * earlier - c * e, x, before
e, before, earlier = scan(step, (a, 0.0, b), x)
L = sum(e ** 2) + before[-1] * earlier[-1]
""",
    "the derivative of where it starts": """
input x: [T]
param a, b: [] unit
def step(e, x) = x - a - b * e
L = sum(scan(step, 2 * a, x) ** 2)
""",
    "vectors": """
input x: [T]
param a: [3] unit
param b: [3] unit
def step(h, x) = sigmoid(x * b) * h + (1 - a) * tanh(x * a)
L = sum(fold(step, a, x) ** 2)
""",
    "a logistic map, whose derivative it is": """
input x: [T]
param r, p0: [] unit
def step(p, x) = p + r * p * (1 - p) + 0.01 * x
p = scan(step, p0, x)
L = sum(p ** 2)
""",
    "discounted rewards": """
input x: [T]
param g: [] unit
def step(v, x) = x + g * v
L = fold(step, 0.0, x) ** 2
""",
    "a count of turns": """
input x: [T]
param g: [] unit
def step(v) = v * g / 2 - 1
L = fold(step, sum(x), 7)
""",
    "a loop in a loop": """
input x: [T]
param a, b: [] unit
def short(v, y) = a * v + y
def long(s, y) = tanh(b * s + fold(short, s, y * x) / 10)
L = fold(long, 0.1, x[:2])
""",
}
STAY = {
    "more is done": "def step(v, x) = tanh(a * v + x)",
    "a carry that is left out may be infinite": "def step(v, x) = where(x > 0, a, v)",
    "it divides": "def step(v, x) = x / (a + v)",
}


def modules(text: str, *without: str) -> Any:
    """The text of value_and_grad, and the module."""
    made = compile_source(Source("it.expr", text), "it", Options(without=without))
    return made.text.partition("def value_and_grad")[2], module_of(made.text, "it")


def arguments(text: str, turns: int, dtype: str) -> dict[str, Any]:
    rng = np.random.default_rng(turns)
    params = [name for line in text.splitlines() if line.startswith("param") for name in line.split(":")[0][6:].split(", ")]
    wide = (3,) if "[3]" in text else ()
    return {"x": rng.normal(size=turns).astype(dtype), **{name: rng.random(wide).astype(dtype)[()] * dtype_of(dtype, 0.8) for name in params}}


def dtype_of(dtype: str, number: float) -> Any:
    return np.dtype(dtype).type(number)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("form", FORMS)
def test_side_by_side(form: str, dtype: str) -> None:
    shown, many = modules(FORMS[form])
    plain, one = modules(FORMS[form], "recur")
    assert "_recurrence(" in shown and "_recurrence(" not in plain
    for turns in (2, 3, 9, 63, 64, 70, 999, 1000, 1033):
        given = arguments(FORMS[form], turns, dtype)
        (value, gradients), (expected, others) = many.value_and_grad(**given), one.value_and_grad(**given)
        for found, other in zip((value, *gradients), (expected, *others), strict=True):
            assert found.dtype == other.dtype
            np.testing.assert_allclose(found, other, rtol=1e-9 if dtype == "float64" else 2e-3, atol=1e-9 if dtype == "float64" else 1e-3)


@pytest.mark.parametrize("why", STAY)
def test_stays_a_loop(why: str) -> None:
    text = f"input x: [T]\nparam a: []\n{STAY[why]}\nL = fold(step, 0.5, x)\n"
    shown, module = modules(text)
    assert "for t in range(T)" in shown
    np.testing.assert_allclose(module.value_and_grad(np.ones(3), 0.5)[0], module.value(np.ones(3), 0.5))


@pytest.mark.parametrize(("head", "shape", "stays"), [("", "[T, N]", False), ("dim N ~ 3000", "[T, N]", True), ("", "[T, 300]", True), ("", "[T, N, 2]", True)])
def test_wide_rows_stay(head: str, shape: str, stays: bool) -> None:
    shown, _ = modules(f"{head}\ninput X: {shape}\nparam a: []\ndef step(v, x) = a * v + x\nL = sum(fold(step, X[0], X) ** 2)\n")
    assert ("_recurrence(" not in shown) is stays


def plain(start: Any, factors: Any, terms: Any) -> Any:
    rows = [np.broadcast_to(start, terms.shape[1:]).astype(terms.dtype)]
    for factor, term in zip(np.broadcast_to(factors, terms.shape), terms, strict=True):
        rows.append(factor * rows[-1] + term)
    return np.array(rows)


@pytest.mark.parametrize("row", [(), (1,), (5,), (64,), (65,)])
@pytest.mark.parametrize("turns", [0, 1, 2, 63, 64, 65, 80, 81, 82, 1000, 1023, 1024])
def test_turns_of_any_number(turns: int, row: tuple[int, ...]) -> None:
    rng = np.random.default_rng(turns)
    terms = rng.normal(size=(turns, *row))
    for factors in (0.9, np.float64(-1.01), rng.uniform(-1, 1, row), rng.random((turns, *row))):
        start = rng.normal(size=row)[()]
        expected = plain(start, factors, terms)
        np.testing.assert_allclose(_recurrence(start, factors, terms), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
        turned = np.broadcast_to(factors, terms.shape)[::-1]
        np.testing.assert_allclose(_recurrence(start, factors, terms, backwards=True), plain(start, turned, terms[::-1])[::-1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("row", [(), (2,)])
def test_what_grows_beyond_all_bounds(row: tuple[int, ...]) -> None:
    """Nothing is multiplied by an infinite product of factors that no turn multiplies by, and nothing is lost."""
    terms = np.zeros((2000, *row))
    assert not _recurrence(0.0, 1e10, terms).any()
    terms[-3:] = 1.0
    np.testing.assert_array_equal(_recurrence(0.0, 1e10, terms)[-4:], plain(0.0, 1e10, terms)[-4:])
    terms[0] = 1.0
    with np.errstate(over="ignore"):
        assert np.isinf(_recurrence(0.0, 1e10, terms)[-1]).all()
    assert np.isnan(_recurrence(0.0, 0.5, np.where(terms > 0, np.nan, 0.0))[1:]).all()


def test_a_second_derivative() -> None:
    """Pieces that are put together below a loop which begins with a constant: they once were lost on the way."""
    turn = "def step((v, a, b), x) = a * x + b * v, a, b\ndef loss(w):\n    v, a, b = scan(step, (0.1, w[0], w[1]), x)\n    return sum(v ** 2)\n"
    names = "input x: [T]\nparam w: [2]\n"
    x, w, nudge = np.sin(np.arange(9.0)), np.array([0.9, 0.4]), 1e-5
    first = module_of(compile_text(f"{names}{turn}L = loss(w)\n", "first"), "first")
    rows = [(first.value_and_grad(x, w + step)[1].w - first.value_and_grad(x, w - step)[1].w) / (2 * nudge) for step in np.eye(2) * nudge]
    for without in ((), ("recur",)):
        _, second = modules(f"{names}{turn}H = hessian(loss(w), w)\nL = sum(H)\n", *without)
        np.testing.assert_allclose(second.value_and_grad(x, w)[0], np.sum(rows), rtol=1e-7)
        np.testing.assert_allclose(second.value(x, w), np.sum(rows), rtol=1e-7)
