"""Derivatives of derivatives of random loops: gradients of functions of gradients, of Hessians, and of derivatives along directions are central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsl.pipeline import OPTIONAL
from tests.test_loop_fuzz import HEAD, SHAPES, TAIL, loops, module

STEP = 1e-5
# of L0 by one name, and another
ENDS = {
    "of a gradient": "G = grad(L0, {one})\nL = sum(sin(G))\n",
    "of a Hessian": "H = hessian(L0, {other})\nL = sum(tanh(H))\n",
    "of a Hessian times something": "v = hvp(L0, {one}, cos({one}))\nL = sum(v * v)\n",
    "both ways": "J = jvp(L0, {one}, sin({one}))\nG = grad(L0, {other})\nL = J * sum(G)\n",
}


def second(text: str, end: str, one: str, other: str) -> str:
    return text.replace("\nL = ", "\nL0 = ") + ENDS[end].format(one=one, other=other)


def holds(text: str) -> None:
    rng = np.random.default_rng(0)
    arguments = {name: 0.7 * rng.normal(size=shape) if shape else np.float64(0.3) for name, shape in SHAPES.items()}
    made, plain = module(text, ()), module(text, OPTIONAL)
    value, gradients = made.value_and_grad(**arguments)
    np.testing.assert_allclose(plain.value_and_grad(**arguments)[0], value, rtol=1e-8, atol=1e-12)
    found = {"fused": gradients, "pair": made.backward(made.forward(**arguments)[1]), "plain": plain.value_and_grad(**arguments)[1]}
    for name in gradients._fields:
        direction = rng.normal(size=np.shape(arguments[name]))

        def at(step: float, name: str = name, direction: Any = direction) -> float:
            return float(made.value(**{**arguments, name: arguments[name] + step * direction}))

        expected = (8 * (at(STEP) - at(-STEP)) - at(2 * STEP) + at(-2 * STEP)) / (12 * STEP)
        for way, each in found.items():
            assert np.isclose(np.sum(getattr(each, name) * direction), expected, rtol=1e-5, atol=1e-5 * max(1, abs(value))), (name, way)


@settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(loops(), st.sampled_from(sorted(ENDS)), st.sampled_from((("u", "w"), ("w", "u"), ("c", "c"), ("A", "c"), ("E", "u"))))
def test_derivatives_of_derivatives(text: str, end: str, names: tuple[str, str]) -> None:
    holds(second(text, end, *names))


@pytest.mark.parametrize(
    ("turn", "end", "by"),
    [
        # a cotangent and a value of the turn of one name
        ("def f(h, x) = (x @ E) * exp(h + u)\nrh = fold(f, h0, X)", "of a gradient", "E"),
        ("def f(h, x) = (x @ E) / (1 + h / (1 + u ** 2))\nrh = fold(f, h0, X)", "of a gradient", "E"),
        # a carry that becomes what stands outside, and is that afterwards
        ("def f(h, x) = tanh(sum(c * A - A, axis=0))\nrh = fold(f, h0, X)", "of a Hessian times something", "c"),
        # rows of what nothing else reads any more, and a turn that would call its own so
        (
            "def f((h, s), x) = tanh(sum((sum(A * A) - s * s) * B, axis=0) / (1 + sum((sum(A * A) - s * s) * B, axis=0) ** 2)), tanh(s)\n"
            "rh, rs = scan(f, (w, c), X)",
            "of a Hessian times something",
            "c",
        ),
        # a carry that has the leading axes of a Jacobian in the first turn alone
        (
            "def f(h, x) = tanh(logsumexp(logsumexp(u[:, None] + A * A, axis=0)[:, None] + outer(x @ E, w).T, axis=0))\nrh = fold(f, zeros(K), X)",
            "of a Hessian",
            "u",
        ),
        # blocks with such axes, and a row of an array that the turn itself makes
        ("def f(h, x) = tanh(sum((x @ E) * B - c * A, axis=0))\nrh = fold(f, w, X, checkpoint=2)", "of a Hessian", "w"),
        ("def f(h) = tanh(c * (h * h) - u)\nrh = fold(f, h0, T, checkpoint=2)", "of a Hessian", "c"),
        # an array under the name of what comes of it, which a loop in between calls its own so
        (
            "def f((h, P, s), x) = tanh(w), 0.5 * tanh(u * B * (B + B) + P * B - A), tanh(tanh(logsumexp(c * P - x @ E, axis=1) @ (h / (1 + (x @ E) ** 2))))\n"
            "rh, rP, rs = fold(f, (h0, A, 0.0), X)",
            "of a Hessian",
            "w",
        ),
        # a turn that has nothing to do
        ("def f((h, s)) = tanh(sum((s * A).T, axis=1)), tanh(sum(u))\nrh, rs = scan(f, (h0, c), 4)", "of a Hessian times something", "A"),
        # a cotangent that has a leading axis in a Jacobian, and so is as wide as another of its name
        (
            "def f((h, P, s)) = tanh(sigmoid(h) @ outer(sigmoid(h), h)), (outer(u, u) @ (B @ w)) * outer(w, h).T, s + sum(P)\n"
            "rh, rP, rs = fold(f, (h0, zeros((K, K)), 0.0), 2, checkpoint=2)",
            "of a Hessian",
            "w",
        ),
        # a diagonal that is added in every turn
        (
            "def f((h, P)) = tanh(-(w / (1 + w ** 2)) - c ** 2 * sum(P * B) * u / (1 + w ** 2)), 0.5 * tanh(B * (A @ A + P))\nrh, rP = scan(f, (h0, A), T)",
            "of a Hessian",
            "w",
        ),
    ],
)
def test_second_derivatives_that_random_ones_came_upon(turn: str, end: str, by: str) -> None:
    results = turn.rpartition("\n")[2].partition(" = ")[0].split(", ")
    total = " + ".join(f"sum(sin({each}))" for each in results)
    holds(second(f"{HEAD}{turn}\nL = {total} + {TAIL}\n", end, by, by))
