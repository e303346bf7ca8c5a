"""Which matrices are known to be symmetric: all that are said to be are, and those that programs are full of are found."""

import numpy as np
import pytest

import dsl
from dsl.api import module_of
from dsl.calculus.symmetry import Symmetry
from dsl.diagnostics import Source
from dsl.nodes import Program
from dsl.pipeline import dump_source
from dsl.reading import program_of

HEAD = """param P, Q: [N, N] spd
param A: [N, N]
param B: [N, K]
param u, v: [N]
param Ps: [K, N, N] symmetric
param c: []
"""
YES = [
    "P",
    "c * P + Q / 2",
    "A @ P @ A.T + Q",
    "A + A.T",
    "A @ P + P @ A.T",
    "B.T @ B",
    "B.T @ P @ Q @ P @ B",
    "outer(u, u) - P",
    "outer(u, v) + outer(v, u)",
    "B @ diag(B[0]) @ B.T / 2",
    "B.T * u @ B + eye(K)",
    "u[:, None] * P * u",
    "outer(A @ u, A @ u)",
    "P - B @ solve(B.T @ P @ B, B.T)",
    "P - P @ B @ inv(B.T @ P @ B + eye(K)) @ B.T @ P",
    "exp(-(u[:, None] - u) ** 2) + c * eye(N)",
    "exp(c - sum((B[:, None] - B) ** 2, axis=-1) / 2) + diag(u)",
    "exp(-sum(abs(B[:, None] - B), axis=-1)) * P",
    "outer(u, u) * (u[:, None] + u)",
]
NO = ["A", "P @ Q", "A @ P", "outer(u, v)", "A - A.T", "u[:, None] - u", "A @ P @ A", "exp(u[:, None] - v)", "u * P", "B.T @ A @ B", "solve(P, Q)"]
NO += ["B.T * u @ A @ B", "u[:, None] * P * v"]


def contracted(text: str) -> Program:
    """The program as the pass that asks is given it."""
    return program_of(dump_source(Source("text", HEAD + text), "text", "contract"), "text")


def known(program: Program) -> bool:
    given = {each.node for each in program.arguments if not {"spd", "symmetric"}.isdisjoint(each.words)}
    return program.outputs[0][1] in Symmetry(program.every_root, given).known


@pytest.mark.parametrize("expression", YES)
def test_found(expression: str) -> None:
    assert known(contracted(f"y = {expression}"))


@pytest.mark.parametrize("expression", NO)
def test_not_claimed(expression: str) -> None:
    assert not known(contracted(f"y = {expression}"))


LOOPS = {
    "def f(M, x) = A @ M @ A.T + outer(x, x)\ny = fold(f, P, B.T)": True,
    "def f(M, x) = M + x\ny = fold(f, P, Ps)": True,
    "def f(M, x) = A @ M + outer(x, x)\ny = fold(f, P, B.T)": False,
    "def f(M, x) = A @ M @ A.T + outer(x, x)\ny = fold(f, A, B.T)": False,
    "def f((M, W), x) = (M + W, A @ W)\ny, z = fold(f, (P, P), B.T)": False,
    "def f((M, W), x) = (M + W, inv(W) + M)\ny, z = fold(f, (P, P), B.T)": True,
}


@pytest.mark.parametrize("text", LOOPS)
def test_carries(text: str) -> None:
    assert known(contracted(f"{text}\noutput y")) == LOOPS[text]


def test_what_is_solved_for_a_symmetric_matrix_is_solved_once() -> None:
    """Without a determinant: b @ solve(S, b) has the gradient that its own solution gives."""
    text = dsl.compile_text("param S: [N, N] spd\nparam b: [N]\nL = b @ solve(S, b)\noutput L")
    assert text.count("np.linalg.solve(") == 3  # in forward, value and value_and_grad
    module = module_of(text, "program")
    S, b = np.diag([1.0, 2.0, 3.0]) + 0.5, np.array([1.0, -1.0, 2.0])
    x = np.linalg.solve(S, b)
    L, gradients = module.value_and_grad(S, b)
    np.testing.assert_allclose(L, b @ x)
    np.testing.assert_allclose(gradients.S, -np.outer(x, x))
    np.testing.assert_allclose(gradients.b, 2 * x)
