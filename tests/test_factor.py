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


# what a program does with C = cholesky(S), and how often forward, backward and value call what costs n³, or is slow for small matrices
FACTORS = {
    "a likelihood": ("w = solve_triangular(C, b, lower=True)\nL = w @ w / 2 + sum(log(diag(C)))", ["inv_upper"], [], ["solve_triangular"]),
    "a likelihood of many": (
        "w = solve_triangular(C, B, lower=True)\nL = sum(w ** 2) / 2 + K * sum(log(diag(C)))",
        ["inv_upper"],
        [],
        ["solve_triangular"],
    ),
    "a determinant": ("L = 3 * sum(log(diag(C)))", [], ["inv_upper"], []),
    "a form": ("w = solve_triangular(C, b, lower=True)\nL = w @ w", ["solve_triangular"], ["solve_triangular"], ["solve_triangular"]),
    "a form of two": (
        "L = solve_triangular(C, b, lower=True) @ solve_triangular(C, c, lower=True)",
        ["inv_upper"],
        [],
        ["solve_triangular", "solve_triangular"],
    ),
    "a diagonal": ("L = sum(diag(C) ** 3) - b @ (C @ c)", [], ["inv_upper"], []),
    "a sample": ("L = sum(sin(C @ B)) / 2 - sum(log(diag(C)))", [], ["inv_upper"], []),
}


@pytest.mark.parametrize("name", FACTORS)
def test_a_factor_of_cholesky_is_inverted_at_most_once(name: str) -> None:
    program, *calls = FACTORS[name]
    text = dsl.compile_text(f"param S: [N, N] spd\nparam B: [N, K]\nparam b, c: [N]\nC = cholesky(S)\n{program}\noutput L")
    for function, expected in zip(("forward", "backward", "value"), calls, strict=True):
        body = text.partition(f"\ndef {function}(")[2].partition("\n\n\n")[0]
        assert re.findall(r"_(inv_upper|solve_triangular)\(", body) == expected, function
    module = module_of(text, "program")
    arguments = [A @ A.T, B, b, c]
    value, gradients = module.value_and_grad(*arguments)
    assert value == pytest.approx(module.value(*arguments), rel=1e-13)
    for one, other in zip(module.backward(module.forward(*arguments)[1]), gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
    for i, each in enumerate(arguments):
        direction = RNG.normal(size=each.shape)
        direction = direction + direction.T if not i else direction
        ends = [module.value(*arguments[:i], each + s * direction, *arguments[i + 1 :]) for s in (1e-6, -1e-6)]
        np.testing.assert_allclose(np.sum(gradients[i] * direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [40, 200])
def test_the_inverse_of_a_factor_is_as_accurate_as_substitution(n: int) -> None:
    """A smooth right-hand side again: inv(C) as NumPy makes it, of C itself or by halves, would lose several digits more."""
    text = "param K: [N, N] spd\nparam y: [N]\nC = cholesky(K)\nw = solve_triangular(C, y, lower=True)\nL = w @ w / 2 + sum(log(diag(C)))"
    module = module_of(dsl.compile_text(text), "program")
    x = np.linspace(0, 1, n)
    K = np.exp(-((x[:, None] - x) ** 2) / 0.02) + 1e-9 * np.eye(n)
    weights = RNG.normal(size=n)
    y = K @ weights
    value, gradients = module.value_and_grad(K, y)
    error = np.abs(gradients.y - weights).max() / np.abs(weights).max()
    solved = np.abs(np.linalg.solve(K, y) - weights).max() / np.abs(weights).max()
    assert error < 2 * solved
    assert value == pytest.approx(module.value(K, y), rel=1e-12)


FILTER = """
input y: [T, M]
param P: [D, D] spd
param A: [D, D]
param H: [M, D]
param R: [M, M] spd
def moment((mean, P, fit), y):
    e = y - H @ mean
    S = H @ P @ H.T + R
    gain = solve(S, H @ P).T
    return A @ (mean + gain @ e), A @ (P - gain @ H @ P) @ A.T, fit - (logdet(S) + e @ solve(S, e)) / 2
mean, last, fit = fold(moment, (zeros(D), P, 0.0), y)
L = -fit
output L, mean
"""


def _bodies(text: str) -> dict[str, str]:
    return {name: text.partition(f"\ndef {name}(")[2].partition("\n\n\n")[0] for name in ("forward", "backward", "value", "value_and_grad")}


def test_a_filter_inverts_once_a_turn() -> None:
    """The turn's matrix is known to be symmetric, as it begins so and stays so: its inverse serves forward and backward, and its determinant is
    taken of all turns at once, afterwards. value keeps nothing of the turns, and only solves."""
    text = dsl.compile_text(FILTER)
    bodies = _bodies(text)
    assert re.findall(r"np\.linalg\.(\w+)\(", bodies["forward"]) == ["inv", "slogdet"]
    assert re.search(r"\n    \w+ \+?= .*np\.linalg\.slogdet\(Ss\)", bodies["value_and_grad"])
    assert "np.linalg" not in bodies["backward"]
    assert sorted(re.findall(r"np\.linalg\.(\w+)\(", bodies["value"])) == ["slogdet", "solve"]
    assert "np.empty" not in bodies["value"]
    module = module_of(text, "program")
    D, M, T = 4, 2, 6
    rng = np.random.default_rng(5)
    arguments = [rng.normal(size=(T, M)), np.eye(D) + 0.2, rng.normal(size=(D, D)) / 2, rng.normal(size=(M, D)), np.eye(M) / 2]
    value, gradients = module.value_and_grad(*arguments)
    assert value == pytest.approx(module.value(*arguments).L, rel=1e-12)
    for i, each in enumerate(arguments[1:]):
        direction = rng.normal(size=each.shape)
        direction = direction if each.shape[0] != each.shape[1] or i == 1 else direction + direction.T
        ends = [module.value(*(other + s * direction if j == i + 1 else other for j, other in enumerate(arguments))).L for s in (1e-6, -1e-6)]
        np.testing.assert_allclose(np.sum(gradients[i] * direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-6)


def test_a_singular_matrix_in_a_turn_says_which_line() -> None:
    module = module_of(dsl.compile_text(FILTER), "program")
    arguments = [np.ones((3, 2)), np.zeros((2, 2)), np.eye(2), np.eye(2), np.zeros((2, 2))]
    for function in (module.forward, module.value, module.value_and_grad):
        with pytest.raises(np.linalg.LinAlgError, match=r"Singular matrix in line 12: mean, last, fit = fold"):
            function(*arguments)


def test_solving_by_the_inverse_of_a_symmetric_matrix_is_as_accurate() -> None:
    """As above, for the value and in forward."""
    module = module_of(dsl.compile_text("param S: [N, N] spd\nparam r: [N]\nx = solve(S, r)\nL = logdet(S) + sum(x ** 2)\noutput L, x"), "program")
    x = np.linspace(0, 1, 40)
    S = np.exp(-((x[:, None] - x) ** 2) / 0.02) + 1e-9 * np.eye(40)
    weights = RNG.normal(size=40)
    r = S @ weights
    errors = [np.abs(found - weights).max() for found in (module.forward(S, r)[0].x, module.value(S, r).x)]
    assert errors[0] < 2 * errors[1]


def test_solutions_that_need_each_other_stay_apart() -> None:
    """Of two matrices, each solved for what comes of the other: of no two could one be a column beside the other's that needs it."""
    text = "input P, Q: [K, K]\nparam a, b: [K]\nL = sum(solve(P, solve(Q, a)) * solve(Q, solve(P, b)))\n"
    rng = np.random.default_rng(0)
    P, Q = rng.normal(size=(2, 3, 3)) + 3 * np.eye(3)
    a, b = rng.normal(size=(2, 3))
    value, gradients = module_of(dsl.compile_text(text, "it"), "it").value_and_grad(P, Q, a, b)
    x, y = np.linalg.solve(P, np.linalg.solve(Q, a)), np.linalg.solve(Q, np.linalg.solve(P, b))
    np.testing.assert_allclose(value, x @ y)
    np.testing.assert_allclose(gradients.a, np.linalg.solve(Q.T, np.linalg.solve(P.T, y)))
    np.testing.assert_allclose(gradients.b, np.linalg.solve(P.T, np.linalg.solve(Q.T, x)))
