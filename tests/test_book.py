"""The figures that 'Deep Learning from Scratch' prints must come out of compiled programs."""

from pathlib import Path

import numpy as np
import pytest

import dsl

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_sum_of_sigmoids() -> None:
    module = dsl.load(EXAMPLES / "sigmoid_sum.expr")
    np.random.seed(190204)
    X, W = np.random.randn(3, 3), np.random.randn(3, 2)
    L, gradients = module.value_and_grad(X, W)
    assert round(L, 4) == 2.3755
    assert np.array_equal(gradients.X.round(4), [[0.2489, -0.3748, 0.0112], [0.126, -0.2781, -0.1395], [0.2299, -0.3662, -0.0225]])
    assert np.array_equal(gradients.W.round(4), [[-0.7578, -0.8726], [-0.1868, -0.0853], [0.0679, -0.1414]])


@pytest.mark.parametrize("stem", ["linear_regression", "neural_network", "logistic"])
def test_example_against_central_differences(stem: str) -> None:
    module = dsl.load(EXAMPLES / f"{stem}.expr")
    rng = np.random.default_rng(0)
    sizes = {"N": 5, "D": 3, "H": 4, "K": 3}
    shapes = {
        "linear_regression": {"X": "ND", "y": "N1", "W": "D1", "B": "11"},
        "neural_network": {"X": "ND", "y": "N1", "W1": "DH", "B1": "1H", "W2": "H1", "B2": "11"},
        "logistic": {"X": "ND", "y": "N", "W": "DK", "b": "K"},
    }[stem]
    arguments = {name: rng.normal(size=[sizes.get(axis, 1) for axis in shape]) for name, shape in shapes.items()}
    if stem == "logistic":
        arguments["y"] = rng.integers(0, 3, size=5)
    _, gradients = module.value_and_grad(**arguments)
    for name, gradient in gradients._asdict().items():
        direction = rng.normal(size=gradient.shape)
        high, low = [module.value_and_grad(**{**arguments, name: arguments[name] + step * direction})[0] for step in (1e-6, -1e-6)]
        assert np.isclose((high - low) / 2e-6, (gradient * direction).sum(), rtol=1e-6)
