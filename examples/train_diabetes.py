"""Chapter 2 on real data: a linear regression and a neural network learn the progression of diabetes from ten measurements.

The table comes with scikit-learn; the models are the generated modules, and the rest is NumPy. Run it from the project's folder with
``python -m examples.train_diabetes``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes

from generated import linear_regression, neural_network


def split(rng: np.random.Generator) -> tuple[Any, Any, Any, Any]:
    """Measurements and progression, three quarters to learn from and the rest to test, in units of the learning part's deviations."""
    X, y = load_diabetes(return_X_y=True)
    order = rng.permutation(len(X))
    learn, test = order[: 3 * len(X) // 4], order[3 * len(X) // 4 :]
    X = (X - X[learn].mean(axis=0)) / X[learn].std(axis=0)
    y = ((y - y[learn].mean()) / y[learn].std())[:, None]
    return X[learn], y[learn], X[test], y[test]


def descend(loss: Callable[..., Any], params: list[Any], steps: int, rate: float, every: int) -> list[Any]:
    """Gradient descent with momentum. ``loss`` takes the parameters and gives a value and its gradients."""
    speeds = [np.zeros_like(each) for each in params]
    for step in range(steps + 1):
        value, gradients = loss(*params)
        if step % every == 0:
            print(f"  step {step:5}  loss {value:.4f}")
        speeds = [0.9 * speed - rate * gradient for speed, gradient in zip(speeds, gradients, strict=True)]
        params = [each + speed for each, speed in zip(params, speeds, strict=True)]
    return params


def r_squared(y: Any, predicted: Any) -> float:
    """The share of the variance of y that a prediction explains."""
    return 1 - float(((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def main() -> None:
    rng = np.random.default_rng(0)
    X, y, X_test, y_test = split(rng)
    columns = X.shape[1]

    print("linear regression")
    start = [np.zeros((columns, 1)), np.zeros((1, 1))]
    W, B = descend(lambda W, B: linear_regression.value_and_grad(X, y, W, B), start, steps=3000, rate=0.02, every=500)
    print(f"  R² on the test rows {r_squared(y_test, X_test @ W + B):.4f}")

    ones = np.ones((len(X), 1))
    best = np.linalg.lstsq(np.hstack([X, ones]), y, rcond=None)[0]
    predicted = X_test @ best[:-1] + best[-1]
    print(f"  R² of the least squares solution {r_squared(y_test, predicted):.4f}")

    print("neural network with one hidden layer of 5")
    hidden = 5
    start = [0.3 * rng.normal(size=shape) for shape in ((columns, hidden), (1, hidden), (hidden, 1), (1, 1))]
    W1, B1, W2, B2 = descend(lambda *params: neural_network.value_and_grad(X, y, *params), start, steps=300, rate=0.02, every=50)
    print(f"  R² on the test rows {r_squared(y_test, sigmoid(X_test @ W1 + B1) @ W2 + B2):.4f}")


if __name__ == "__main__":
    main()
