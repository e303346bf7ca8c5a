"""Formulas as they stand in textbooks: computed in a form that does not overflow, with the same values and gradients where the written ones are good."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsl.api import module_of
from dsl.diagnostics import Source
from dsl.pipeline import Options, compile_source, dump_source

HEAD = "input x: [N, K]\ninput y: [N]\nparam z: [N]\nparam a: [K]\nparam s: []\nparam w: [K] positive\n"
BELL = "bells = exp(-(y[:, None] - a) ** 2 / 2) / sqrt(2 * pi)\n"
P = "p = sigmoid(z)\n"
# a program, and what stands in it once it is stable
FORMS = {
    "L = sum(1 / (1 + exp(-z)))": "sigmoid(z)",
    "L = sum(exp(z) / (exp(z) + 1))": "sigmoid(z)",
    "L = sum(y / (1 + exp(z)))": "y * sigmoid(-z)",
    "L = sum(1 - 1 / (1 + exp(-z)))": "sigmoid(-z)",
    "L = y @ (exp(z) / sum(exp(z)))": "softmax(z)",
    "E = exp(x * a)\nL = sum((E / sum(E, axis=1, keepdims=True))[:, 0])": "softmax(v0)",
    "E = exp(x * a)\nL = sum((E / sum(E, axis=1)[:, None])[:, 0])": "softmax(v0)",
    "E = exp(x * a)\nL = sum((E / sum(E, axis=0))[0])": "softmax(v0, axis=-2)",
    "S = x * a\nE = exp(S - max(S, axis=1, keepdims=True))\nL = sum((E / sum(E, axis=1, keepdims=True))[:, 0])": "softmax(S)",
    "S = x * a\nm = max(S, axis=1)\nL = sum(m + log(sum(exp(S - m[:, None]), axis=1)))": "logsumexp(S, axis=-1)",
    "L = log(sum(exp(z - max(z)))) + max(z)": "logsumexp(z)",
    "L = log(mean(exp(z)))": "logsumexp(z) - log(N)",
    "L = log(sum(w * exp(a)))": "logsumexp(log(w) + a)",
    f"{BELL}L = sum(log(bells))": "v0 - log(",
    f"{BELL}L = sum(log(sum(w * bells, axis=1)))": "logsumexp(log(w) + (",
    f"{BELL}L = sum(log(bells @ softmax(w)))": "logsumexp(",
    f"{BELL}q = sigmoid(s)\nL = sum(log(q * bells[:, 0] + (1 - q) * bells[:, 1]))": "logaddexp(log_sigmoid(s) + ",
    f"{BELL}L = log(prod(bells * w))": "sum(",
    "L = log(exp(s) ** 3) - log(sqrt(exp(s)))": "3 * s - s / 2",
    f"{P}L = sum(y * log(p) + (1 - y) * log(1 - p))": "sum(-sigmoid_binary_cross_entropy(z, y))",
    f"{P}L = sum(-y * log(p) - (1.0 - y) * log(1.0 - p))": "sum(sigmoid_binary_cross_entropy(z, y))",
    f"{P}L = y @ log(p) + (1 - y) @ log(1 - p)": "sum(-sigmoid_binary_cross_entropy(z, y))",
    f"{P}L = -mean(y * log(p)) - mean((1 - y) * log(1 - p))": "mean(sigmoid_binary_cross_entropy(z, y))",
    f"{P}L = sum((1 - y) * y * log(p) * s + y * s * (1 - (1 - y)) * log(1 - p))": "sigmoid_binary_cross_entropy(z, v",
    f"{P}L = log(prod(p ** y * (1 - p) ** (1 - y)))": "sum(-sigmoid_binary_cross_entropy(z, y))",
    "q = sigmoid(x @ a[:, None])\nL = sum(y * log(q[:, 0]) + (1 - y) * log(1 - q[:, 0]))": "-sigmoid_binary_cross_entropy(",
    "q = sigmoid(-z)\nL = sum(y * log(q) + (1 - y) * log(1 - q))": "-sigmoid_binary_cross_entropy(",
    "L = sum((1 - exp(-z)) / z)": "-expm1(-z) / z",
    "L = sum(log(1 - exp(-exp(z))))": "log1mexp(exp(z))",
    "p = z / 10\nL = sum(log(1 - p))": "log1p(-",
    "L = sum(log(cosh(z)))": "log_cosh(z)",
    "L = sum(log(1 - tanh(z) ** 2))": "-(2 * log_cosh(z))",
    "L = sum(log(1 / cosh(z) ** 2))": "log_cosh(z)",
    "L = log(1 + sum(exp(z)))": "softplus(logsumexp(z))",
    "L = log(3 + sum(exp(z)))": "logsumexp(z)",
    "E = exp(x)\nL = -sum(log(mean(E / (1 + sum(E, axis=1, keepdims=True)), axis=0)))": "softplus(logsumexp(x, axis=-1, keepdims=True))",
    "L = sqrt(sum(z ** 2)) + sum(sqrt(sum(x * x, axis=1)))": "norm(x, axis=-1)",
    "L = sum(log(exp(z) * (y - 2) * -s))": "z + log(",
    "E = exp(z - max(z))\nL = sum((E / sum(E))[0] * z)": "softmax(z)",
    "S = x * a\nE = exp(S - max(S, axis=0))\nL = sum((E / sum(E, axis=0))[0])": "softmax(S, axis=-2)",
    f"{P}L = sum(log(where(y > 0.5, p, 1 - p)))": "log_sigmoid(where(y > 0.5, z, -z))",
}
ALONE = [
    "L = log(sum(softmax(z)) + 1)",
    "L = sum(log(0.1 + sigmoid(z)))",
    "L = sum(sqrt(sum(x * x + 1, axis=1)))",
    "L = log(sum(a * exp(a)) ** 2)",
    "L = sum(log(a * a * 2))",
    "L = log(prod(a) ** 2)",
    "L = sum(log(exp(a) * a * a) + log(exp(a) / a / a))",
    "L = sum(log(exp(a) * (a * exp(a)) / (a / exp(-a))))",
    "L = sum(exp(z) / (2 + exp(z)))",
    "E = exp(x * a)\nL = sum((E / sum(E, axis=0, keepdims=True) ** 2))",
    "L = sum(exp(z) / sum(exp(2 * z)))",
    "L = max(z) + log(sum(exp(z - sum(z))))",
    f"{P}L = sum(y * log(p + 0.1) + (1 - y) * log(1 - p + 0.1))",
    f"{P}L = sum(y * log(p) + (2 - y) * log(1 - p))",
    f"{P}L = sum(y * log(p) - (1 - y) * log(1 - p))",
    f"{P}L = sum(y * log(p)) + mean((1 - y) * log(1 - p))",
    f"{P}L = sum(y * log(p) + (1 - y) * log(1 - sigmoid(2 * z)))",
]


def source(text: str) -> Source:
    return Source("it.expr", HEAD + text + "\n")


def modules(text: str) -> tuple[Any, Any]:
    made = (compile_source(source(text), "it", Options(without=without)).text for without in ((), ("stabilise",)))
    stable, written = (module_of(each, "it") for each in made)
    return stable, written


def arguments() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x, y, z, a = (rng.normal(size=shape) for shape in ((4, 3), 4, 4, 3))
    return {"x": x, "y": (y > 0) * 1.0, "z": z, "a": a, "s": 0.4, "w": np.array([0.2, 0.5, 0.4])}


def given(module: Any, **values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in module.value.__code__.co_varnames[: module.value.__code__.co_argcount]}


@pytest.mark.parametrize("text", FORMS)
def test_is_recognised(text: str) -> None:
    assert FORMS[text] in dump_source(source(text), "it", "stabilise")
    stable, written = modules(text)
    values = arguments()
    (value, gradients), (expected, others) = (module.value_and_grad(**values) for module in (stable, written))
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for found, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("text", ALONE)
def test_is_not_mistaken(text: str) -> None:
    """What only looks alike keeps its value."""
    stable, written = modules(text)
    values = {**arguments(), "a": np.array([-0.3, -0.2, 0.7])}
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(stable.value(**values), written.value(**values), rtol=1e-12)


FAR = {
    "L = mean(log(cosh(z)))": 1000 - np.log(2),
    "L = mean(log(1 - tanh(z) ** 2))": 2 * np.log(2) - 2000,
    "L = log(1 + sum(exp(-z)))": 1000 + np.log(4),
    "L = log(2.5 + exp(-z[0]))": 1000.0,
    "E = exp(-z)\nL = sum(log(E / (1 + sum(E))))": 4 * np.log(0.25),
    "L = sum(1 / (1 + exp(-z)))": 0.0,
    "L = sum(exp(z) / (1 + exp(z)))": 0.0,
    f"{P}L = -sum(0.0 * log(p) + (1 - 0.0) * log(1 - p))": 0.0,
    "L = sum(5 * exp(z) / (1 + exp(z)))": 0.0,
    "p = 1 / (1 + exp(-z))\nL = -mean(y * log(p) + (1 - y) * log(1 - p))": 1000.0,
    "L = -sum(log(exp(-(z + 40) ** 2 / 2) / 3)) / 4": 960**2 / 2 + np.log(3),
    "L = -log(prod(exp(z[:2]) / (1 + exp(z[:2]))))": 2000.0,
}


@pytest.mark.parametrize("text", FAR)
def test_far_out(text: str) -> None:
    """Values and gradients stay numbers, without a warning, where exponentials overflow or vanish."""
    values = {**arguments(), "z": np.full(4, -1000.0), "y": np.ones(4)}
    stable, _ = modules(text)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, gradients = stable.value_and_grad(**values)
        outcome, tape = stable.forward(**values)
        pair = stable.backward(tape)
    np.testing.assert_allclose([value, outcome], FAR[text], rtol=1e-12, atol=1e-300)
    assert all(np.isfinite(each).all() for each in (*gradients, *pair))


@pytest.mark.parametrize(
    ("x", "value", "slope"),
    [
        (1e-17, -39.14394658089878, 1e17),
        (0.65, -0.7382403183591204, 1.0922505783571363),
        (40.0, -4.248354255291589e-18, 4.248354255291589e-18),
    ],
)
def test_the_logarithm_of_what_is_left_of_one(x: float, value: float, slope: float) -> None:
    module = module_of(compile_source(Source("it.expr", "param z: [N]\nL = sum(log(1 - exp(-z)))\n"), "it", Options()).text, "it")
    found, gradients = module.value_and_grad(np.array([x]))
    np.testing.assert_allclose([found, gradients.z[0]], [value, slope], rtol=1e-7)


def test_a_gradient_where_all_exponents_are_infinite() -> None:
    """Paths that cannot have been taken, as in a model that only goes to the right, have no part in the gradient."""
    text = "param x: [N]\nparam A: [N, N]\ny = logsumexp(x[:, None] + A, axis=0)\nL = logsumexp(y) + logaddexp(logaddexp(y[1], y[1] + x[0]), 1.0)\n"
    module = module_of(compile_source(Source("it.expr", text), "it", Options()).text, "it")
    arguments = np.array([1.0, 2.0]), np.array([[0.0, -np.inf], [0.0, -np.inf]])
    _, fused = module.value_and_grad(*arguments)
    pair = module.backward(module.forward(*arguments)[1])
    for gradients in (fused, pair):
        np.testing.assert_allclose(gradients.x, [0.26894142, 0.73105858], rtol=1e-7)
        np.testing.assert_allclose(gradients.A, [[0.26894142, 0.0], [0.73105858, 0.0]], rtol=1e-7)


def test_constants_of_physics_stay_where_they_are_written() -> None:
    """So that float32 neither overflows nor vanishes on the way."""
    module = module_of(compile_source(Source("it.expr", "input m, n: [N]\nparam r: [N]\nL = sum(6.674e-11 * m * n / r ** 2)\n"), "it", Options()).text, "it")
    value, gradients = module.value_and_grad(*(np.array([each], np.float32) for each in (5.97e24, 7.35e22, 3.84e8)))
    np.testing.assert_allclose([value, gradients.r[0]], [1.986028e20, -1.0343897e12], rtol=1e-5)


@pytest.mark.parametrize("reduction", ["var(z)", "std(z)", "sum(layer_norm(z, 1.0, 0.0) ** 3)", "sum(batch_norm(z, 1.0, 0.0) ** 3)"])
def test_the_gradient_of_deviations_from_a_large_mean(reduction: str) -> None:
    """Deviations sum to 0 but for rounding, which is not multiplied by the mean."""
    module = module_of(compile_source(Source("it.expr", f"input x: [N]\nparam w: []\nz = x * w\nL = {reduction}\n"), "it", Options()).text, "it")
    near = np.random.default_rng(0).normal(size=1000)
    far = near + 1e6
    exact, (found, gradients) = module.value_and_grad(near, 1.0)[1].w, module.value_and_grad(far, 1.0)
    pair = module.backward(module.forward(far, 1.0)[1])
    np.testing.assert_allclose([gradients.w, pair.w], exact, rtol=1e-6, atol=1e-6 * np.size(found))


def test_a_share_beside_what_is_not_chosen() -> None:
    """An outside good: where one exponential overflows, the shares of that row are 1 and 0, and not left out."""
    text = "param V: [R, J]\nshare = mean(exp(V) / (1 + sum(exp(V), axis=1, keepdims=True)), axis=0)\nL = -sum(log(share))\n"
    module = module_of(compile_source(Source("it.expr", text), "it", Options()).text, "it")
    V = np.array([[800.0, 0.0], [0.0, 0.0]])
    value, gradients = module.value_and_grad(V)
    np.testing.assert_allclose([value, module.value(V)], -np.log(2 / 3) - np.log(1 / 6), rtol=1e-12)
    np.testing.assert_allclose(gradients.V, [[0, 0], [1 / 6, -7 / 12]], atol=1e-12)


@pytest.mark.parametrize("length", ["sqrt(sum(x ** 2, axis=1))", "sqrt(sum((x[:, None] - x) ** 2, axis=-1))", "norm(x, axis=1)"])
def test_a_length_of_nothing_has_no_slope(length: str) -> None:
    module = module_of(compile_source(Source("it.expr", f"param x: [N, D]\nL = sum({length})\n"), "it", Options()).text, "it")
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    for found in (module.value_and_grad(x)[1].x, module.backward(module.forward(x)[1]).x):
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[1], [0.6, 0.8] if "None" not in length else [1.2, 1.6])
