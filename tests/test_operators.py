"""The examples that use derivatives within a program, each against NumPy code that was written without gradc."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit, softmax

import dsl
from dsl.api import module_of

EXAMPLES = Path(__file__).parent.parent / "examples"
RNG = np.random.default_rng(4)


@cache
def example(stem: str) -> Any:
    return dsl.load(EXAMPLES / f"{stem}.expr")


@cache
def labelled() -> tuple[Any, Any]:
    """Rows, and labels that a plane tells apart but for some noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    return X, (X @ [1.0, -2.0, 0.5, 0.0] + rng.normal(size=200) > 0).astype(int)


def logistic_gradient(X: Any, y: Any, w: Any, lam: float) -> Any:
    return X.T @ (expit(X @ w) - y) / len(y) + lam * w


def logistic_hessian(X: Any, w: Any, lam: float) -> Any:
    p = expit(X @ w)
    return (X.T * (p * (1 - p) / len(X))) @ X + lam * np.eye(len(w))


def slope(f: Callable[[Any], Any], x: Any, step: float = 1e-5) -> Any:
    """The central differences of f, an axis for x last."""
    return np.stack([(f(x + e) - f(x - e)) / (2 * step) for e in step * np.eye(len(x))], -1)


def test_newton_finds_the_weights_and_how_they_depend_on_the_penalty() -> None:
    X, y = labelled()
    w, tape = example("newton_logistic").forward(X, y, 0.01)
    assert np.abs(logistic_gradient(X, y, w, 0.01)).max() < 1e-14
    v = RNG.normal(size=4)
    # the implicit function theorem: where the gradient stays 0, dw/dlam = -inv(H) w
    expected = -v @ np.linalg.solve(logistic_hessian(X, w, 0.01), w)
    np.testing.assert_allclose(example("newton_logistic").backward(tape, v).lam, expected, rtol=1e-10)


def test_newton_takes_fewer_than_ten_steps_and_doubles_the_digits() -> None:
    X, y = labelled()
    text = (EXAMPLES / "newton_logistic.expr").read_text(encoding="utf-8")
    path = module_of(dsl.compile_text(text.replace("fold(", "scan(")), "path").value(X, y, 0.01)
    w = np.zeros(4)
    for found in path:
        w = w - np.linalg.solve(logistic_hessian(X, w, 0.01), logistic_gradient(X, y, w, 0.01))
        np.testing.assert_allclose(found, w, rtol=1e-12)
    left = np.linalg.norm(path - path[-1], axis=1)
    assert len(path) < 10 and left[5] < 1e-12 and (left[1:5] < left[:4] ** 2).all()


def test_gauss_newton_finds_the_curve_and_how_it_depends_on_the_data() -> None:
    t = np.linspace(0, 4, 40)
    y = 2 * np.exp(-1.3 * t) + 0.5 + 0.02 * RNG.normal(size=40)

    p, tape = example("gauss_newton").forward(t, y, [1.0, 1.0, 0.0])
    fitted = least_squares(lambda p: p[0] * np.exp(-p[1] * t) + p[2] - y, [1.0, 1.0, 0.0], xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    np.testing.assert_allclose(p, fitted, rtol=1e-7)
    decay = np.exp(-p[1] * t)
    r, J = p[0] * decay + p[2] - y, np.stack([decay, -p[0] * t * decay, np.ones(40)], axis=1)
    curvature = np.zeros((3, 3))
    curvature[0, 1] = curvature[1, 0] = -r @ (t * decay)
    curvature[1, 1] = r @ (p[0] * t**2 * decay)
    v = RNG.normal(size=3)
    # the implicit function theorem: J.T @ r stays 0
    expected = J @ np.linalg.solve(J.T @ J + curvature, v)
    np.testing.assert_allclose(example("gauss_newton").backward(tape, v).y, expected, rtol=1e-6, atol=1e-8)


def test_gradient_penalty() -> None:
    real, fake, t = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 3)), RNG.uniform(size=(7, 1))
    W, b, v = RNG.normal(size=(3, 5)), RNG.normal(size=5), RNG.normal(size=5)

    def critic(x: Any) -> Any:
        return np.tanh(x @ W + b) @ v

    slopes = [slope(critic, row) for row in fake + t * (real - fake)]
    expected = critic(fake).mean() - critic(real).mean() + 10 * np.mean((np.linalg.norm(slopes, axis=1) - 1) ** 2)
    np.testing.assert_allclose(example("gradient_penalty").value(real, fake, t, W, b, v), expected, rtol=1e-8)


def test_heat_equation() -> None:
    x, t, x0, u0, a, b, c, v = (RNG.normal(size=size) for size in (9, 9, 4, 4, 6, 6, 6, 6))

    def u(x: Any, t: Any) -> Any:
        return np.tanh(np.outer(x, a) + np.outer(t, b) + c) @ v

    h = 1e-4
    u_t, u_xx = (u(x, t + h) - u(x, t - h)) / (2 * h), (u(x + h, t) - 2 * u(x, t) + u(x - h, t)) / h**2
    expected = np.mean((u_t - 0.1 * u_xx) ** 2) + np.mean((u(x0, 0 * x0) - u0) ** 2)
    np.testing.assert_allclose(example("heat_equation").value(x, t, x0, u0, a, b, c, v), expected, rtol=1e-5)


def test_a_solution_of_the_heat_equation_has_no_residual() -> None:
    """A network whose u is the same everywhere, whatever kappa is."""
    x, t = RNG.normal(size=(2, 9))
    still = np.zeros(1)
    for kappa in (0.1, 7.0):
        assert example("heat_equation").value(x, t, x[:4], np.full(4, np.tanh(0.3)), still, still, [0.3], [1.0], kappa=kappa) == 0


def test_laplace_evidence() -> None:
    X, y = labelled()
    w, log_alpha = RNG.normal(size=4), 0.3
    alpha, z = np.exp(log_alpha), X @ w
    energy = np.sum(np.logaddexp(0, z) - y * z) + alpha / 2 * w @ w - 2 * log_alpha
    hessian = (X.T * (expit(z) * expit(-z))) @ X + alpha * np.eye(4)
    expected = -energy - np.linalg.slogdet(hessian)[1] / 2
    np.testing.assert_allclose(example("laplace_evidence").value(X, y, w, log_alpha), expected, rtol=1e-12)


def test_natural_gradient() -> None:
    X, y, W = RNG.normal(size=(30, 3)), RNG.integers(0, 3, 30), RNG.normal(size=(3, 3))
    P = softmax(X @ W, axis=1)
    # Fisher's matrix of all nine weights: the mean over rows of kron(x xᵀ, diag(p) - p pᵀ)
    fisher = sum(np.kron(np.outer(x, x), np.diag(p) - np.outer(p, p)) for x, p in zip(X, P, strict=True)) / 30 + 0.1 * np.eye(9)
    gradient = X.T @ (P - np.eye(3)[y]) / 30
    found = example("natural_gradient").value(X, y, W)
    np.testing.assert_allclose(found.natural.ravel(), np.linalg.solve(fisher, gradient.ravel()), rtol=1e-8)
    np.testing.assert_allclose(found.L, -np.log(P[np.arange(30), y]).mean(), rtol=1e-12)
