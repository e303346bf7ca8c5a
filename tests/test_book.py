"""The figures that 'Deep Learning from Scratch' prints must come out of compiled programs."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

import dsl
from dsl.api import module_of

EXAMPLES = Path(__file__).parent.parent / "examples"


@cache
def example(stem: str) -> Any:
    return dsl.load(EXAMPLES / f"{stem}.expr")


def compiled(text: str) -> Any:
    return module_of(dsl.compile_text(text), "program")


def first_pair() -> tuple[Any, Any]:
    """The X and W of the chapter's first half."""
    np.random.seed(190203)
    return np.random.randn(1, 3), np.random.randn(3, 1)


def second_pair() -> tuple[Any, Any]:
    """The X and W of the chapter's second half."""
    np.random.seed(190204)
    return np.random.randn(3, 3), np.random.randn(3, 2)


def shown(x: Any) -> Any:
    """As the book prints it."""
    return np.round(x, 4).tolist()


def test_matrix_product() -> None:
    X, W = first_pair()
    module = example("matmul")
    P, tape = module.forward(X, W)
    gradients = module.backward(tape, np.ones((1, 1)))
    assert shown(X) == [[0.4723, 0.6151, -1.7262]]
    assert np.array_equal(P, X @ W)
    assert shown(gradients.X) == [[0.9282, -0.6075, -1.2214]]
    assert np.array_equal(gradients.X, W.T) and np.array_equal(gradients.W, X.T)


def test_matrix_product_of_sizes_that_differ() -> None:
    with pytest.raises(ValueError, match=r"W .*3.*\(2, 1\)"):
        example("matmul").forward(np.zeros((1, 3)), np.zeros((2, 1)))
    with pytest.raises(dsl.DslError, match="inner dimensions differ: 3 and 2"):
        dsl.compile_text("input X: [1, 3]\ninput W: [2, 1]\nP = X @ W")


def test_function_of_a_matrix_product() -> None:
    X, W = first_pair()
    module = example("sigmoid_matmul")
    S, tape = module.forward(X, W)
    gradients = module.backward(tape)
    assert shown(gradients.X) == [[0.0852, -0.0557, -0.1121]]
    nudged = X.copy()
    nudged[0, 2] += 0.01
    slope = (module.value(nudged, W) - S).item() / 0.01
    assert round(slope, 2) == round(gradients.X[0, 2], 2) == -0.11


def test_sum_of_sigmoids() -> None:
    X, W = second_pair()
    module = example("sigmoid_sum")
    L, gradients = module.value_and_grad(X, W)
    assert round(L, 4) == 2.3755
    assert shown(gradients.X) == [[0.2489, -0.3748, 0.0112], [0.126, -0.2781, -0.1395], [0.2299, -0.3662, -0.0225]]
    assert shown(gradients.W) == [[-0.7578, -0.8726], [-0.1868, -0.0853], [0.0679, -0.1414]]
    nudged = X.copy()
    nudged[0, 0] += 0.001
    assert round((module.value(nudged, W) - L) / 0.001, 4) == 0.2489


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": special.expit,
    "square": np.square,
    "tanh": np.tanh,
    "sin": np.sin,
    "exp": np.exp,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.01 * x),
    "softplus": lambda x: np.logaddexp(0, x),
    "abs": np.abs,
    "arctan": np.arctan,
    "erf": special.erf,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_function_in_the_place_of_sigma(name: str) -> None:
    X, W = second_pair()
    module = compiled((EXAMPLES / "any_function.expr").read_text().replace("tanh", name))
    L, gradients = module.value_and_grad(X, W)
    assert np.isclose(L, FUNCTIONS[name](X @ W).sum(), rtol=1e-14)
    slope = (FUNCTIONS[name](X @ W + 1e-6) - FUNCTIONS[name](X @ W - 1e-6)) / 2e-6
    assert np.allclose(gradients.X, slope @ W.T, rtol=1e-7) and np.allclose(gradients.W, X.T @ slope, rtol=1e-7)


def test_any_function_in_the_place_of_sigma_is_an_example() -> None:
    X, W = second_pair()
    L, gradients = example("any_function").value_and_grad(X, W)
    assert np.isclose(L, np.tanh(X @ W).sum(), rtol=1e-14)
    assert np.allclose(gradients.X, (1 - np.tanh(X @ W) ** 2) @ W.T, rtol=1e-14)


def test_chain_of_two() -> None:
    x = np.arange(-3, 3, 0.01)
    module = example("chain_of_two")
    y, tape = module.forward(x)
    s = special.expit(x**2)
    assert np.allclose(y, s, rtol=1e-15)
    assert np.allclose(module.backward(tape).x, s * (1 - s) * 2 * x, rtol=1e-14)


def test_chain_of_three() -> None:
    x = np.arange(-3, 3, 0.01)
    module = example("chain_of_three")
    y, tape = module.forward(x)
    s = special.expit(x**2)
    assert np.allclose(y, s, rtol=1e-15)
    assert np.allclose(module.backward(tape).x, 1 * s * (1 - s) * 2 * x, rtol=1e-14)


def test_two_inputs_added() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 9))
    module = example("multiple_inputs_add")
    s, tape = module.forward(x, y)
    gradients = module.backward(tape)
    assert np.array_equal(gradients.x, gradients.y) and not np.shares_memory(gradients.x, gradients.y)
    assert np.allclose(gradients.x, s * (1 - s), rtol=1e-15)


def test_linear_regression() -> None:
    rng = np.random.default_rng(0)
    X, y, W, B = rng.normal(size=(9, 4)), rng.normal(size=(9, 1)), rng.normal(size=(4, 1)), rng.normal(size=(1, 1))
    L, gradients = example("linear_regression").value_and_grad(X, y, W, B)
    error = y - (X @ W + B)
    assert np.isclose(L, np.mean(error**2), rtol=1e-15)
    # the book's own code differentiates the sum, and so gives 9 times this
    assert np.allclose(9 * gradients.W, X.T @ (-2 * error), rtol=1e-14)
    assert np.allclose(9 * gradients.B, (-2 * error).sum(axis=0, keepdims=True), rtol=1e-14)


def test_neural_network() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 1))
    params = [rng.normal(size=shape) for shape in ((4, 5), (1, 5), (5, 1), (1, 1))]
    module = example("neural_network")
    L, gradients = module.value_and_grad(X, y, *params)
    W1, B1, W2, B2 = params
    hidden = special.expit(X @ W1 + B1)
    error = hidden @ W2 + B2 - y
    assert np.isclose(L, np.mean(error**2), rtol=1e-14)
    assert np.allclose(gradients.W2, 2 / 9 * hidden.T @ error, rtol=1e-13)
    assert np.allclose(gradients.B2, 2 / 9 * error.sum(), rtol=1e-13)
    before = 2 / 9 * error @ W2.T * hidden * (1 - hidden)
    assert np.allclose(gradients.W1, X.T @ before, rtol=1e-13)
    assert np.allclose(gradients.B1, before.sum(axis=0, keepdims=True), rtol=1e-13)


def test_convolution() -> None:
    L, gradients = example("convolution").value_and_grad(np.arange(1.0, 6), np.ones(3))
    assert L == 39
    assert gradients.x.tolist() == [2, 3, 3, 3, 2]
    assert gradients.w.tolist() == [10, 15, 14]


def test_convolution_as_numpy_has_it() -> None:
    """NumPy turns w round, which the book's code does not: the same value and dL/dx, and dL/dw in reverse."""
    module = compiled("param x: [N]\nparam w: [K]\nL = sum(convolve(x, w, mode='same'))")
    L, gradients = module.value_and_grad(np.arange(1.0, 6), np.ones(3))
    assert L == 39
    assert gradients.x.tolist() == [2, 3, 3, 3, 2]
    assert gradients.w.tolist() == [14, 15, 10]
