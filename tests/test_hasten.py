"""What value_and_grad does in fewer steps than the pair: the same to rounding, and the steps are fewer."""

from __future__ import annotations

import re
from types import ModuleType

import numpy as np
import pytest

from dsl import compile_text
from dsl.api import module_of

NORMALISED = """
input X: [N, D]
param gain, bias: [D]
param v: [D]
L = sum(tanh(batch_norm(X, gain, bias)) @ v)
"""
LABELS = "input X: [N, D]\ninput y: int[N] in 0:K\nparam W: [D, K]\n"


def compiled(text: str) -> tuple[ModuleType, str]:
    """A module, and the text of its value_and_grad."""
    source = compile_text(text, "it")
    return module_of(source, "it"), source[source.index("def value_and_grad(") :]


def test_one_exponential_serves_a_softmax_and_its_logarithm() -> None:
    _, text = compiled(LABELS + "L = cross_entropy(X @ W, y)\n")
    # of which only the picked entries are taken
    assert "_softmax_and_picked(" in text and "np.exp(" not in text
    _, text = compiled("input X: [B, T, D]\ninput y: int[B, T] in 0:K\nparam W: [D, K]\nL = cross_entropy(X @ W, y)\n")
    assert "_softmax_and_picked(" in text and re.search(r"softmax\[np\.arange\(n_rows\)\[:, None\], arange, y_rows\] -= 1\.0", text), text
    _, text = compiled("input X: [N, D]\nparam W: [D, K]\nL = -sum(softmax(X @ W) * log_softmax(X @ W))\n")
    assert "_softmax_and_log(" in text and "np.exp(" not in text
    assert "One exponential serves a softmax and its logarithm." in text
    _, text = compiled(LABELS + "L = mean(logsumexp(X @ W, axis=1) * tanh(X[:, 0]))\n")
    assert "_softmax_and_logsumexp(" in text and "np.exp(" not in text


TOGETHER = {
    "labels made of the softmax": ("z = X @ W\nL = cross_entropy(z, argmax(softmax(z), axis=-1))", "_softmax_and_log("),
    "labels made late": ("q = log_softmax(X @ W)\nL = sum(exp(q) ** 2) + sum(q[arange(N), argmax(X[:, :3] * s[:, None], axis=1)])", "_softmax_and_picked("),
    "labels of a middle axis": (
        "q = log_softmax(X[:, :, None] * (X @ W)[:, None, :] / 9, axis=1)\nL = sum(logsumexp(q[arange(N), argmax(X, axis=1)], axis=1))",
        "argmax_X_rows] += dL_dpicked",
    ),
    "labels of the first axis": ("q = log_softmax((X @ W).T, axis=0)\nL = sum(q[argmax(X, axis=1), arange(N)] * s)", "_softmax_and_picked("),
    "smoothed labels": ("q = log_softmax(X @ W)\nL = sum(0.1 * q - s[:, None] * 0.9) - sum(q[arange(N), argmax(X, axis=1)])", "_softmax_and_log("),
    "a logarithm that only its exponential reads": (
        "q = log_softmax(leaky_relu(X @ W), axis=1)\nz = where(X > 0, X @ W, 2 * X @ W)\n"
        "L = sum(exp(q) ** 2) + sum(exp(z - logsumexp(z, axis=1, keepdims=True)) ** 2)",
        "_softmax(",
    ),
    "read twice": ("q = log_softmax(X @ W)\nL = sum(q[arange(N), argmax(X, axis=1)]) + sum(q ** 2)", "_softmax_and_log("),
    "softplus and sigmoid": ("z = X @ W\nL = sum(softplus(z)) + sum(sigmoid(z) ** 2)", "_softplus_and_sigmoid("),
    "log of sigmoid": ("L = mean(log(sigmoid(X @ W)))", "_softplus_and_sigmoid("),
    "a choice of sign": ("z = (X @ W) * s[:, None] - 1\nL = -sum(log(sigmoid(where(X > 0, z, -z))))", "_softplus_and_sigmoid("),
    "the sum of two exponentials": ("z = X @ W\nL = sum(logaddexp(z, X) * s[:, None]) - sum(logaddexp(0, z))", "_logaddexp_and_shares("),
    "squares with weights": ("r = (X @ W) * s[:, None]\nL = sum(r ** 2 * exp(X)) + sum(100 * r ** 2 - X * r + X)", "_dot_all("),
    "shared products": ("z = X @ W\nL = sum(sin(z * X / s[:, None])) + sum(exp(-2 * z * X)) - mean((z * X * 3 - z) ** 2)", "np.sin("),
    "simplified pairs": ("v = tanh(tanh(X @ W))\nL = 0.4 * sum(tanh(sigmoid(v) * v))", "_sigmoid("),
    "lengths": ("A = X @ W\nL = sum((A / norm(A, axis=1, keepdims=True)) ** 3) + sum(norm(A, axis=1))", "_dot_rows("),
}


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("rows", [1, 7, 3000])
@pytest.mark.parametrize("name", TOGETHER)
def test_what_is_taken_together_is_the_same(name: str, rows: int, scale: float) -> None:
    formula, called = TOGETHER[name]
    module, text = compiled(f"input X: [N, K]\ninput s: [N]\nparam W: [K, K]\n{formula}\n")
    assert called in text, text
    rng = np.random.default_rng(0)
    X, s, W = rng.normal(size=(rows, 3)), rng.uniform(1, 2, rows), rng.normal(size=(3, 3)) * scale
    with np.errstate(all="ignore"):
        outcome, tape = module.forward(X, s, W)
        value, gradients = module.value_and_grad(X, s, W)
        np.testing.assert_allclose(value, outcome, rtol=1e-11)
        pair = module.backward(tape)
    np.testing.assert_allclose(gradients.W, pair.W, rtol=1e-9, atol=1e-11 * (np.abs(pair.W).max() if np.isfinite(pair.W).all() else 0))


def test_a_product_that_several_have_stands_once() -> None:
    _, text = compiled("input b, c: [N]\nparam a: [N]\nL = sum(exp(-2 * a * b / c)) + sum(tanh(3 * b / c * a ** 2))\n")
    steps = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    assert len(re.findall(r" / c\b| / c_rows", steps)) == 1, text


def test_what_both_terms_are_multiplied_by_stands_before_their_sum() -> None:
    """The difference of two in a pairwise loss has one gradient, which is spread over the rows once."""
    module, text = compiled("input x, y: [N, D]\nparam W: [D, D]\nL = -mean(log(sigmoid(0.1 * (sum((x @ W) * x, axis=1) - sum((x @ W) * y, axis=1)))))\n")
    assert "y_rows - x_rows" in text and text.count("[:, None]") == 1, text
    module, text = compiled("input s, x, y, z: [N]\nparam w: []\nL = sum(exp(w * s * x - w * y * s) * (s * y)) + sum(z * (s * y + s * x))\n")
    s, x, y, z = np.random.default_rng(0).normal(size=(4, 50))
    value, gradients = module.value_and_grad(s, x, y, z, 0.3)
    np.testing.assert_allclose(value, (np.exp(0.3 * s * (x - y)) * s * y).sum() + (z * s * (x + y)).sum(), rtol=1e-13)
    np.testing.assert_allclose(gradients.w, (np.exp(0.3 * s * (x - y)) * s * y * s * (x - y)).sum(), rtol=1e-12)


def test_what_both_sides_of_a_choice_are_multiplied_by_stands_before_it() -> None:
    """The pinball loss of a quantile regression: one choice serves the value and the gradient, and one sum the mean of the sums."""
    module, text = compiled("input X: [N, D]\nparam W: [D, Q]\ninput tau: [Q]\ne = X @ W\nL = mean(sum(where(e > 0, tau * e, (tau - 1) * e), axis=1))\n")
    assert text.count("_where(") == 1 and "_ones(Q" not in text, text
    X, W, tau = np.random.default_rng(0).normal(size=(7, 3)), np.random.default_rng(1).normal(size=(3, 2)), np.array([0.1, 0.6])
    chosen = np.where(X @ W > 0, tau, tau - 1)
    value, gradients = module.value_and_grad(X, W, tau)
    np.testing.assert_allclose(value, (chosen * (X @ W)).sum() / 7)
    np.testing.assert_allclose(gradients.W, X.T @ chosen / 7)


@pytest.mark.parametrize("k", [2, 3])
def test_a_choice_by_a_number_of_pythons(k: int) -> None:
    module, _ = compiled("param x: [N]\nconst k = 2\nL = sum(where(k == 2, x ** 3, x))\n")
    x = np.arange(3.0)
    assert module.value_and_grad(x, k=k)[1].x.tolist() == ([0, 3, 12] if k == 2 else [1, 1, 1])


def test_sums_of_many_short_rows_are_products() -> None:
    _, text = compiled("input X: [N, D]\nparam w: [D]\nL = sum(tanh(sum(exp(X * w), axis=1))) + sum(tanh(sum(sin(X * w), axis=0)))\n")
    assert ".dot(_ones(D, dtype))" in text and re.search(r"_ones\(\w+, dtype\)\.dot\(", text), text
    assert ".sum(axis" not in text, text


def test_a_logsumexp_of_the_batch_is_gathered_from_blocks() -> None:
    _, text = compiled("input x: [N, D]\nparam w: [D]\nL = logsumexp(tanh(sin(x * w) * cos(x)) @ w)\n")
    assert "join=(np.logaddexp" in text


def test_sums_of_the_same_are_one() -> None:
    """Of the incoming gradient batch normalisation needs the sum and the sum times the rows, for gain and bias and for the input both."""
    _, text = compiled(NORMALISED.replace("param gain", "param X: [N, D]\nparam gain").replace("input X: [N, D]\n", ""))
    gradient = text[text.index("dL_d") :]
    assert len(re.findall(r"\.sum\(axis=0\)|np\.einsum", gradient)) <= 4, text


def test_a_product_with_what_is_needed_as_it_is_takes_nothing_out() -> None:
    """A layer after a normalised one, beside which that stands too: dividing the result would take as long as dividing again what is multiplied."""
    _, text = compiled(
        "input X: [N, D]\nparam W: [D, F]\nparam V: [F, D]\nH = X / sqrt(sum(X ** 2, axis=1, keepdims=True))\nL = sum(tanh(H + tanh(H @ W) @ V))\n"
    )
    assert "H.dot(W)" in text, text


@pytest.mark.parametrize("exponent", ["3", "4", "5", "7", "12", "-2", "-3", "0.5", "1.5", "2.5", "-0.5", "-1.5", "-2.5"])
def test_powers_are_products(exponent: str) -> None:
    """Of negative bases NumPy's own take forty times as long."""
    module, text = compiled(f"param x: [N]\nL = sum(x ** {exponent} * sin(x))\n")
    assert not re.search(r"(?m)^[^#]*\*\*", text) and "power(" not in text, text
    x = np.array([0.3, 1.7, 12.0, *([] if "." in exponent else [-0.4, -3.0])])
    p = float(exponent)
    with np.errstate(all="ignore"):
        value, gradients = module.value_and_grad(x)
        np.testing.assert_allclose(value, (x**p * np.sin(x)).sum(), rtol=1e-13)
        np.testing.assert_allclose(gradients.x, p * x ** (p - 1) * np.sin(x) + x**p * np.cos(x), rtol=1e-13)
        ends = module.value_and_grad(np.array([0.0]))[1].x, module.value_and_grad(np.array([np.inf]))[0]
    assert np.isfinite(ends[0]).all() == (p > 0.5)
    assert ends[1] == 0 or not np.isfinite(ends[1])


def test_powers_that_take_more_products_or_numbers_are_powers() -> None:
    _, text = compiled("param x: [N] positive\nparam s: []\nL = sum(x ** 0.3 + x ** 100 + s ** 3)\n")
    assert "**0.3" in text and "**100" in text and "s**3" in text, text


def test_numbers_stand_after_products() -> None:
    _, text = compiled("input A, B: [N, K]\nparam V: [K, K]\nconst t = 0.2\nL = cross_entropy((A @ V) @ B.T / t, arange(N))\n")
    assert re.search(r"softmax\[np\.arange\(n_rows\), arange_rows\] -= 1\.0", text), text
    # the N x N array is never scaled
    assert not re.search(r"softmax \*= |\* softmax\b", text), text


@pytest.mark.parametrize("dtypes", [("f4", "f4"), ("f8", "f8"), ("f4", "f8"), ("f8", "f4")])
def test_precisions_beside_each_other(dtypes: tuple[str, str]) -> None:
    module, _ = compiled("input X: [N, D]\nparam w: [D]\nL = sum(tanh(X * w) ** 2 + X) + sum(exp(w) / sum(exp(w)))\n")
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(5, 3)).astype(dtypes[0]), rng.normal(size=3).astype(dtypes[1])
    value, gradients = module.value_and_grad(X, w)
    outcome, tape = module.forward(X, w)
    assert value.dtype == outcome.dtype == np.result_type(X, w)
    np.testing.assert_allclose(value, outcome, rtol=1e-5 if value.dtype == np.float32 else 1e-13)
    np.testing.assert_allclose(gradients.w, module.backward(tape).w, rtol=1e-4 if value.dtype == np.float32 else 1e-12)


OVERWRITING = {
    "chain": "z = x @ W\nL = sum(tanh((z - 1) * 2 + 3) ** 2)",
    "read twice": "z = x @ W\ns = exp(z)\nL = sum(s * sin(s) + s)",
    "views": "z = x @ W\na = z[:, :1]\nL = sum((z + 1) ** 2 * a) + sum(a)",
    "outputs": "z = x @ W\nL = sum((z * 2 + 1) ** 2)\noutput L, z",
    "shared": "z = exp(x @ W)\nL = sum(z / sum(z, axis=1, keepdims=True) * sqrt(z))",
    "transposed": "z = x @ W\nL = sum((z.T + 1) * tanh(z.T)) + sum(z)",
    "kwargs": "out = x @ W\naxis = out + 1\nL = sum(exp(axis * 2) / (1 + exp(axis)), axis=0) @ sum(out, axis=0)",
    "loop": "def step(h, e) = tanh(h * 2 + e @ W)\nh = fold(step, zeros(3), x)\nL = sum(h ** 2)",
    "carry": "def step((p, q), e): \n    r = p * q + e @ W\n    return q * 2 + r, r * p + q\np, q = fold(step, (ones(3), ones(3)), x)\nL = sum(p * q)",
}


@pytest.mark.parametrize("name", OVERWRITING)
def test_overwritten_arrays(name: str) -> None:
    """The same as the pair, twice over, and no argument is written to."""
    module, _ = compiled("param x: [N, D]\nparam W: [D, 3]\n" + OVERWRITING[name] + "\n")
    rng = np.random.default_rng(1)
    x, W = rng.normal(size=(4, 2)) / 3, rng.normal(size=(2, 3)) / 3
    before = x.copy(), W.copy()
    outcome, tape = module.forward(x, W)
    expected = (np.asarray(outcome[0] if isinstance(outcome, tuple) else outcome), *module.backward(tape))
    for _ in range(2):
        value, gradients = module.value_and_grad(x, W)
        for one, other in zip((value, *gradients), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(W, before[1])


def test_the_docstring_says_what_was_done() -> None:
    _, text = compiled("input A, B: [N, N]\nparam x: [N]\nL = sum((A @ B @ x) ** 2)\n")
    assert "A @ B @ x is computed as A @ (B @ x)." in text
    assert "overwritten" in compiled("param x: [N]\nL = sum(exp(x * 2 + 1))\n")[1]


@pytest.mark.parametrize("axis", ["axis=1", "axis=1, keepdims=True", "axis=0"])
def test_there_is_no_largest_of_nothing(axis: str) -> None:
    module = module_of(compile_text(f"param Q: [K, N]\nL = sum(tanh(max(Q, {axis})))"), "it")
    Q = np.random.default_rng(0).normal(size=(40, 5))
    np.testing.assert_allclose(module.value_and_grad(Q)[0], module.value(Q), rtol=1e-14)
    empty = np.zeros((3, 0) if "1" in axis else (0, 3))
    for each in (module.forward, module.value_and_grad):
        with pytest.raises(ValueError, match="zero-size array"):
            each(empty)
