"""Systems with one matrix: what is solved together, and what no factorisation is needed for."""

import re

import numpy as np
import pytest

import dsl
from dsl.api import module_of

RNG = np.random.default_rng(3)
N, K = 5, 3
A = RNG.normal(size=(N, N)) + 4 * np.eye(N)
B, b, c = RNG.normal(size=(N, K)), RNG.normal(size=N), RNG.normal(size=N)
HEAD = "param A: [N, N] nonsingular\nparam B: [N, K]\nparam b, c: [N]\n"

# a program, what it gives, and how often forward and backward call LAPACK
PROGRAMS = {
    "an inverse times a vector": ("y = inv(A) @ b", lambda: np.linalg.solve(A, b), ["solve"], ["solve"]),
    "a vector times an inverse": ("y = b @ inv(A)", lambda: np.linalg.solve(A.T, b), ["solve"], ["solve"]),
    "a matrix times an inverse": ("y = B.T @ inv(A)", lambda: B.T @ np.linalg.inv(A), ["solve"], ["solve"]),
    "a form": ("y = b @ inv(A) @ c", lambda: b @ np.linalg.inv(A) @ c, ["solve"], ["solve"]),
    "an inverse twice": ("y = inv(A) @ b + inv(A) @ c", lambda: np.linalg.solve(A, b + c), ["solve"], ["solve"]),
    "an inverse that is wanted": ("y = inv(A)\nz = inv(A) @ b", lambda: np.linalg.inv(A), ["inv"], []),
    "two sides": ("y = solve(A, b) * c @ solve(A, B)", lambda: np.linalg.solve(A, b) * c @ np.linalg.solve(A, B), ["solve"], ["solve"]),
    "a side made of another": ("y = solve(A, solve(A, b))", lambda: np.linalg.solve(A @ A, b), ["solve", "solve"], ["solve", "solve"]),
    "a likelihood": (
        "y = logdet(A) + b @ solve(A, b)",
        lambda: np.linalg.slogdet(A)[1] + b @ np.linalg.solve(A, b),
        ["slogdet", "solve"],
        ["inv"],
    ),
    "sides in a turn": (
        "def f(x, v) = solve(A, x) * c + solve(A, v * b)\ny = fold(f, b, B.T)",
        None,
        ["solve"],
        ["solve"],
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_factorised_once(name: str) -> None:
    program, expected, forward, backward = PROGRAMS[name]
    text = dsl.compile_text(f"{HEAD}{program}\nL = sum(y ** 2)\noutput L, y")
    for function, calls in (("forward", forward), ("backward", backward)):
        body = text.partition(f"\ndef {function}(")[2].partition("\n\n\n")[0]
        assert sorted(re.findall(r"np\.linalg\.(\w+)\(", body)) == calls
    module = module_of(text, "program")
    arguments = [A, B, b, c]
    _, gradients = module.value_and_grad(*arguments)
    if expected is not None:
        np.testing.assert_allclose(module.value(*arguments).y, expected(), rtol=1e-10)
    for i, each in enumerate(arguments):
        direction = RNG.normal(size=each.shape)
        ends = [module.value(*arguments[:i], each + s * direction, *arguments[i + 1 :]).L for s in (1e-6, -1e-6)]
        np.testing.assert_allclose(np.sum(gradients[i] * direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-6)


def test_the_inverse_in_backward_is_as_accurate_as_solving() -> None:
    """A smooth right-hand side and an ill-conditioned matrix, where inv(A) @ b may lose all digits that solve(A, b) has; inv(A).T does not."""
    text = "param S: [N, N] spd\nparam r: [N]\nL = (logdet(S) + r @ solve(S, r)) / 2"
    module = module_of(dsl.compile_text(text), "program")
    x = np.linspace(0, 1, 40)
    S = np.exp(-((x[:, None] - x) ** 2) / 0.02) + 1e-9 * np.eye(40)
    weights = RNG.normal(size=40)
    r = S @ weights
    error = np.abs(module.value_and_grad(S, r)[1].r - weights).max() / np.abs(weights).max()
    solved = np.abs(np.linalg.solve(S, r) - weights).max() / np.abs(weights).max()
    assert error < 10 * max(solved, 1e-9)
