"""Sums of squared differences as products of moments: taken where they are as exact, and only there."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from dsl import compile_text
from dsl.api import module_of
from tests.ways import Asked, compare

MIXTURE = """
input X: [N, D]
param weights: [K]
param mu, log_sd: [K, D]
z = (X[:, None, :] - mu) / exp(log_sd)
L = -mean(logsumexp(log_softmax(weights) - 0.5 * sum(z ** 2, axis=-1) - sum(log_sd, axis=-1), axis=-1))
"""
# the weights of squares, and where the axes are
FORMS = {
    "of both": "exp(-0.5 * sum((X[:, None] - mu) ** 2 / exp(v) ** 2, axis=-1))",
    "none, turned": "exp(-sum((mu[:, None] - X) ** 2, axis=2)).T",
    "some of them": "exp(where(X @ mu.T > 0, -sum((X[:, None] - mu) ** 2, axis=-1), -1e9))",
    "beside others": "exp(X @ mu.T - sum(square(X[:, None] - mu), axis=2) / 3)",
}
HEAD = "input X: [N, D]\nparam mu, v: [K, D]\n"


def sample(N: int, K: int, D: int, scale: float = 1.0, far: float = 0.0) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    mu = far + rng.normal(size=(K, D))
    X = mu[rng.integers(K, size=N)] + scale * rng.normal(size=(N, D))
    return {"X": X, "weights": rng.normal(size=K), "mu": mu, "log_sd": np.log(scale) + 0.1 * rng.normal(size=(K, D))}


@pytest.mark.parametrize("far", [0.0, 100.0, 1e6])
@pytest.mark.parametrize("sizes", [(1000, 25, 10), (20_000, 3, 2), (64, 300, 3)])
def test_a_mixture_by_moments(sizes: tuple[int, int, int], far: float) -> None:
    asked = Asked("_by_moments", MIXTURE)
    compare(asked, sample(*sizes, far=far), 1e-12)
    assert asked.answers == [True]


@pytest.mark.parametrize("form", FORMS)
def test_weights_and_layouts(form: str) -> None:
    asked = Asked("_by_moments", f"{HEAD}L = mean(tanh(sum({FORMS[form]}, axis=1))) + sum(v) ** 2\n")
    rng = np.random.default_rng(1)
    K, D = 40, 3
    mu, v = rng.normal(size=(K, D)), 0.1 * rng.normal(size=(K, D))
    compare(asked, {"X": rng.normal(size=(900, D)), "mu": mu, "v": v}, 1e-12)
    assert asked.answers == [True]


@pytest.mark.parametrize("case", ["narrow and far", "nan", "inf", "huge"])
def test_the_literal_sums_where_digits_would_be_lost(case: str) -> None:
    asked = Asked("_by_moments", MIXTURE)
    arguments = sample(1000, 25, 10, scale=1e-3 if case == "narrow and far" else 1.0)
    if case in ("nan", "inf"):
        arguments["X"][3, 1] = float(case)
    if case == "huge":
        arguments["X"][3, 1] = 1e200
    with np.errstate(all="ignore"):
        value, _ = asked.module.value_and_grad(**arguments)
        outcome, _ = asked.module.forward(**arguments)
    assert asked.answers == [False]
    np.testing.assert_allclose(value, outcome, rtol=1e-12)


@pytest.mark.parametrize("far", [0.0, 100.0])
@pytest.mark.parametrize("text", [MIXTURE, MIXTURE.replace("exp(log_sd)\n", "exp(log_sd)\nreach = max(abs(X))\n").replace("L = ", "L = reach + ")])
def test_float32_is_computed_in_float64_and_rounded(text: str, far: float) -> None:
    asked = Asked("_by_moments", text)
    single = {name: each.astype(np.float32) for name, each in sample(2000, 25, 10, far=far).items()}
    value, gradients = asked.module.value_and_grad(**single)
    exact, expected = asked.module.value_and_grad(**{name: each.astype(np.float64) for name, each in single.items()})
    assert asked.answers == [True, True]
    assert {np.asarray(each).dtype for each in (value, *gradients)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(value, exact, rtol=2e-7)
    for found, each in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(found, each, rtol=2e-7, atol=1e-12)


NOT_EXPONENTS = {
    "roots": "sum(sqrt(sum((X[:, None] - mu) ** 2, axis=2)))",
    "squares": "mean(sum((X[:, None] - mu) ** 2, axis=2) ** 2)",
    "a kernel with tails": "mean(1 / (1 + sum((X[:, None] - mu) ** 2 / exp(v) ** 2, axis=2)))",
    "the nearest": "mean(min(sum((X[:, None] - mu) ** 2, axis=2), axis=1)) + sum(v)",
    "exponents too": "mean(sum(exp(-sum((X[:, None] - mu) ** 2, axis=2)) + sqrt(sum((X[:, None] - mu) ** 2, axis=2)), axis=1))",
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("form", NOT_EXPONENTS)
def test_other_readers_than_exponents(form: str, dtype: type) -> None:
    """Right to 1e-12 of each sum, so whatever reads them; rows of X that are nearly rows of mu are refused."""
    asked = Asked("_by_moments", f"{HEAD}L = {NOT_EXPONENTS[form]} + 0 * sum(v)\n")
    rng = np.random.default_rng(2)
    arguments = {"X": rng.normal(size=(900, 6)), "mu": 3 + rng.normal(size=(40, 6)), "v": 0.1 * rng.normal(size=(40, 6))}
    arguments = {name: each.astype(dtype) for name, each in arguments.items()}
    compare(asked, arguments, 1e-12 if dtype is np.float64 else 1e-4)
    arguments["X"][500] = arguments["mu"][7] + dtype(1e-3)
    compare(asked, arguments, 1e-12 if dtype is np.float64 else 1e-4)
    arguments["X"][500] = np.nan
    with np.errstate(all="ignore"):
        value, _ = asked.module.value_and_grad(**arguments)
    assert np.isnan(value) and asked.answers == [True, False, False]


BESIDE = {
    "a width for each": "d = sum((X[:, None] - mu) ** 2, axis=2)\nL = mean((exp(-d / (2 * exp(2 * s))) @ s) ** 2)",
    "their mean": "d = sum((X[:, None] - mu) ** 2, axis=2)\nL = mean(sum(softmax(-d / 3) * d, axis=1)) + sum(s)",
}


@pytest.mark.parametrize("form", BESIDE)
def test_beside_their_exponentials_distances_of_0_do_not_matter(form: str) -> None:
    """Centres that are points, as networks of kernels often begin with."""
    asked = Asked("_by_moments", f"input X: [N, D]\nparam mu: [K, D]\nparam s: [K]\n{BESIDE[form]}\n")
    rng = np.random.default_rng(2)
    X = rng.normal(size=(900, 6))
    compare(asked, {"X": X, "mu": X[:40].copy(), "s": 0.1 * rng.normal(size=40)}, 1e-12)
    assert asked.answers == [True]


def test_squares_of_either_sign_may_cancel_anywhere() -> None:
    asked = Asked("_by_moments", f"{HEAD}L = mean(abs(sum((X[:, None] - mu) ** 2 * v, axis=2)))\n")
    rng = np.random.default_rng(2)
    arguments = {"X": rng.normal(size=(900, 6)), "mu": 9 + rng.normal(size=(40, 6)), "v": rng.normal(size=(40, 6))}
    compare(asked, arguments, 1e-12)
    arguments["v"] = -np.abs(arguments["v"])
    compare(asked, arguments, 1e-12)
    assert asked.answers == [False, True]


@pytest.mark.parametrize("sharp", [False, True])
def test_what_multiplies_an_exponent_counts(sharp: bool) -> None:
    """An error of 1e-12 in a distance is one of 1e-4 in a hundred millionth of it."""
    text = "input X: [N, D]\nparam mu: [K, D]\nconst tau = 1.0\nL = mean(logsumexp(3 - sum((X[:, None] - mu) ** 2, axis=2) / tau, axis=1))\n"
    asked = Asked("_by_moments", text)
    arguments = sample(1000, 25, 10)
    value, _ = asked.module.value_and_grad(arguments["X"], arguments["mu"], tau=1e-8 if sharp else 1.0)
    outcome, _ = asked.module.forward(arguments["X"], arguments["mu"], tau=1e-8 if sharp else 1.0)
    assert asked.answers == [not sharp]
    np.testing.assert_allclose(value, outcome, rtol=1e-12)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 3, 2), (5, 1, 2), (10, 3, 2)])
def test_nothing_is_asked_of_small_arrays(sizes: tuple[int, int, int]) -> None:
    asked = Asked("_by_moments", MIXTURE)
    compare(asked, sample(*sizes), 1e-12)
    assert asked.answers == []


def test_no_points_at_all() -> None:
    asked = Asked("_by_moments", MIXTURE)
    arguments = sample(1, 3, 2)
    arguments["X"] = arguments["X"][:0]
    with np.errstate(invalid="ignore"):  # the mean of nothing is nan
        value, gradients = asked.module.value_and_grad(**arguments)
    assert np.isnan(value) and asked.answers == []
    assert [each.shape for each in gradients] == [(3,), (3, 2), (3, 2)]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moments of all rows at once, and of ten blocks and a last one that is not whole."""
    asked = Asked("_by_moments", MIXTURE)
    arguments = sample(2_003, 12, 5)
    whole = asked.module.value_and_grad(**arguments)
    monkeypatch.setattr(asked.module, "_BLOCK_BYTES", 200 * 8 * (3 * 5 + 12))
    monkeypatch.setattr(asked.module, "_LEAST_ROWS", 1)
    blocks, added = [], asked.module._joined
    monkeypatch.setattr(asked.module, "_joined", lambda *parts: blocks.append(1) or added(*parts))
    parted = asked.module.value_and_grad(**arguments)
    assert asked.answers == [True, True] and len(blocks) > 5
    np.testing.assert_allclose(parted[0], whole[0], rtol=1e-13)
    for found, expected in zip(parted[1], whole[1], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("read", ["exp(-{})", "1 / (1 + {})"])
def test_points_that_are_computed_are_taken_in_blocks_too(read: str) -> None:
    """They are asked about before the blocks, and a block takes its rows of them."""
    distance = "sum((Z[:, None] - mu) ** 2, axis=2)"
    text = f"input X: [N, D]\ninput y: [N, K]\nparam W: [D, H]\nparam mu: [K, H]\nZ = tanh(X @ W)\nL = mean({read.format(distance)} * y)\n"
    asked = Asked("_by_moments", text)
    rng = np.random.default_rng(3)
    shapes = {"X": (30_000, 3), "y": (30_000, 20), "W": (3, 4), "mu": (20, 4)}
    arguments = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    arguments["mu"] += 2
    compare(asked, arguments, 1e-12)
    single = {name: each.astype(np.float32) for name, each in arguments.items()}
    compare(asked, single, 1e-3)
    assert asked.answers == [True, True]


@pytest.mark.parametrize("function", ["softplus", "mish", "log_sigmoid", "log_softmax", "softmax"])
def test_points_that_come_with_their_slopes(function: str) -> None:
    """One operation gives both; what is asked of the points before the blocks brings the slopes with it."""
    text = f"input X: [N, D]\nparam W: [D, H]\nparam mu: [K, H]\nh = {function}(X @ W)\nL = mean(exp(-sum((h[:, None] - mu) ** 2, axis=-1)))"
    asked = Asked("_by_moments", text)
    rng = np.random.default_rng(3)
    compare(asked, {"X": rng.normal(size=(5000, 3)), "W": rng.normal(size=(3, 4)), "mu": rng.normal(size=(5, 4))}, 1e-11)
    assert asked.answers == [True]


@pytest.mark.parametrize("far", [np.inf, -np.inf, np.nan, 1e200])
def test_one_point_that_is_infinitely_far(far: float) -> None:
    asked = Asked("_by_moments", "input X: [N, D]\nparam C: [K, D]\nL = mean(minimum(sum((X[:, None] - C) ** 2, axis=-1), 5))")
    rng = np.random.default_rng(3)
    X, C = rng.normal(size=(4000, 3)) + 10, rng.normal(size=(4, 3))
    X[1, 0] = far
    with np.errstate(all="ignore"):
        found, expected = asked.module.value_and_grad(X, C)[0], asked.module.value(X, C)
    assert asked.answers == [False]
    np.testing.assert_array_equal(found, expected)


def test_every_row_beside_every_other_is_not_formed() -> None:
    asked = Asked("_by_moments", MIXTURE)
    arguments = sample(3000, 60, 20)
    tracemalloc.start()
    asked.module.value_and_grad(**arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert asked.answers == [True] and peak < 8 * 3000 * 60 * 20 / 4


def test_threads_change_nothing() -> None:
    asked = Asked("_by_moments", MIXTURE)
    arguments = sample(60_000, 20, 8)
    one, two = (asked.module.value_and_grad(**arguments, workers=workers) for workers in (1, 2))
    np.testing.assert_allclose(two[0], one[0], rtol=1e-13)
    for found, expected in zip(two[1], one[1], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    "formula",
    [
        "sum(sqrt(1 + sum((mu[:, None] - mu) ** 2, axis=2))) + sum(X)",
        "sum((X[:, None] - mu) ** 2)",
        "sum(tanh(X[:, None] - mu)) + sum(exp(-sum((X[:, None] - mu) ** 2, axis=2)))",
        "logdet(exp(-sum((mu[:, None] - mu) ** 2, axis=2)) + 0.1 * eye(K)) + sum(X)",
        "sum(exp(-sum((X[:, None] - mu) ** 2, axis=2) / mean(sum((X[:, None] - mu) ** 2, axis=2), axis=0)))",
    ],
)
def test_what_is_not_made_of_moments(formula: str) -> None:
    """Distances of which some are 0, a difference that is needed itself, a matrix that may be near a singular one, and widths made of the distances are
    left alone."""
    assert "_by_moments" not in compile_text(f"input X: [N, D]\nparam mu: [K, D]\nL = {formula}\n")


def test_the_docstrings_say_what_is_done() -> None:
    module = module_of(compile_text(MIXTURE, "it"), "it")
    assert "see _by_moments" in module.value_and_grad.__doc__
    assert "products of moments" in module._by_moments.__doc__ and "1e-12" in module._by_moments.__doc__


def test_points_among_themselves_are_taken_in_blocks() -> None:
    """As exponents the distances of points from each other may cancel, and the rows of these have a dimension of their own."""
    text = "input X: [N, D]\nparam A: [D, H]\nZ = X @ A\nd = where(eye(N) > 0, 1e9, sum((Z[:, None] - Z) ** 2, axis=-1))\nL = mean(logsumexp(-d, axis=1))\n"
    asked = Asked("_by_moments", text)
    assert "rows are gone through a block" in str(compile_text(text).partition("def _by_moments")[2].partition("def value_and_grad")[0])
    rng = np.random.default_rng(0)
    compare(asked, {"X": rng.normal(size=(300, 4)), "A": rng.normal(size=(4, 3))}, 1e-9)
    assert asked.answers == [True]
