"""The order of products: which are never formed, and that no order changes the values."""

from __future__ import annotations

from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dsl.api import compile_text, module_of
from dsl.diagnostics import Source
from dsl.pipeline import Options, compile_source

LITERAL = ("contract", "reorder")
HEAD = """
param A: [N, M]
param B: [M, K]
param C: [K, N]
param u: [N]
param v: [M]
param w: [K]
param d: [M]
input X: [B0, N, M]
"""
SUMS = (
    "sum((A @ B @ w) ** 2)",
    "sum((A @ B @ C @ u) ** 2)",
    "sum(tanh((A @ B) @ (C @ u)))",
    "trace(A @ B @ C)",
    "trace(A @ B @ C @ outer(u, u))",
    "sum(A @ B)",
    "sum(A @ B @ C, axis=0) @ u",
    "sum(sum(A @ B, axis=1, keepdims=True) * u[:, None])",
    "sum((outer(u, v) @ B) ** 2)",
    "sum(outer(u, v) * A)",
    "sum((A @ diag(d) @ B) ** 2)",
    "sum((A * d) @ B @ w)",
    "sum(-(2 * A) @ (3 * B) @ w) / (N + 1)",
    "u @ (A @ B) @ w + sum((A @ B @ w) ** 2)",
    "sum((A @ B) ** 2) + sum(A @ B @ w)",
    "einsum('ij,jk,k,i->', A, B, w, u)",
    "sum(einsum('ij,jk,kl->il', A, B, C) ** 2)",
    "sum((X @ v) ** 2) + sum(X @ B @ w)",
    "sum((X * d).sum(axis=0) @ v)",
    "sum((exp(d) * X + einsum('ij,bnj->bni', B @ B.T, X)) ** 2)",
    "sum((v * A + A @ (B @ B.T)) ** 2)",
    "sum((A / d) ** 2, axis=0) @ v + sum(sum(A / d, axis=0) * d)",
    "sum((X - A)[:, :, None, :] * u[:, None, None]) / (N + 1)",
    "w @ C @ A @ B @ w",
    "sum(u[:, None] * A * v) + sum((u * u) @ A @ (v * v * d))",
)


def compiled(text: str, *without: str) -> ModuleType:
    options = Options(format=False, without=without)
    return module_of(compile_source(Source("it.expr", text), "it", options).text, "it")


def arguments(module: ModuleType, sizes: dict[str, int], text: str, dtype: Any) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    given = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind in ("input", "param"):
            name, _, shape = rest.partition(": ")
            given[name] = (rng.normal(size=[sizes[dim] for dim in shape.strip("[]").split(", ")]) + 0.1).astype(dtype)
    return given


@pytest.mark.parametrize("expression", SUMS)
def test_the_same_values_and_gradients(expression: str) -> None:
    text = f"{HEAD}L = {expression}\n"
    ordered, literal = compiled(text), compiled(text, *LITERAL)
    for n, dtype in product((0, 1, 2, 5), (np.float64, np.float32)):
        sizes = {"N": n, "M": max(n - 1, 1), "K": n + 2, "B0": 3 if n else 0}
        given = arguments(ordered, sizes, text, dtype)
        scale = 1e-12 if dtype is np.float64 else 2e-4
        (one, gradients), (two, expected) = ordered.value_and_grad(**given), literal.value_and_grad(**given)
        pair = ordered.backward(ordered.forward(**given)[1])
        for name in ("", *expected._fields):
            found = [one, one, two] if not name else [getattr(each, name) for each in (gradients, pair, expected)]
            assert np.asarray(found[0]).dtype == dtype and np.shape(found[0]) == np.shape(found[2])
            for each in found[:2]:
                assert np.allclose(each, found[2], rtol=scale, atol=scale * max(1.0, np.abs(found[2]).max(initial=0.0))), name


HINTS = "dim N ~ 9000\ndim D ~ 200\ndim R ~ 3\ndim K ~ 200\n"
CHAIN = "input A, B: [N, N]\ninput y: [N]\nparam x: [N]\n"


@pytest.mark.parametrize(
    ("text", "formed", "never"),
    [
        (CHAIN + "L = sum((A @ B @ x - y) ** 2)\n", "A @ (B @ x)", "A @ B @"),
        (CHAIN + "P = A @ B\nL = sum((P @ x - y) ** 2)\noutput L, P\n", "P = A @ B", "A @ (B @ x)"),
        (CHAIN + "L = sum((A @ B) @ outer(x, y))\n", "A.sum(axis=0)", "A @ B"),
        ("param A, B: [N, N]\nL = trace(A @ B)\n", 'np.einsum("ij,ji->", A, B)', "A @ B"),
        ("param A: [N, M]\nparam B: [M, K]\nL = sum(A @ B)\n", "A.sum(axis=0)", "A @ B"),
        ("param u, v, w: [N]\nL = sum((outer(u, v) @ w) ** 2)\n", "v @ w", "outer(u, v)"),
        ("param A: [N, N]\nparam x: [N]\nL = sum((A.T @ A @ x) ** 2)\n", "A @ x", "A.T @ A @"),
        # a number goes where there are the fewest entries
        ("input X: [N, D]\nparam A: [D, D]\nparam s: []\nL = sum((exp(s) * X @ A) ** 2)\n", "X @ (np.exp(s) * A)", "np.exp(s) * X"),
        # low rank or not: nothing tells which is smaller, so that what is written stands
        ("input X: [N, D]\nparam U: [D, R]\nparam V: [R, K]\nL = sum((X @ (U @ V)) ** 2)\n", "U @ V", "X @ U"),
        ("input X: [N, D]\nparam U: [D, R]\nparam V: [R, K]\nL = sum((X @ U @ V) ** 2)\n", "X @ U", "(U @ V)"),
        (HINTS + "input X: [N, D]\nparam U: [D, R]\nparam V: [R, K]\nL = sum((X @ (U @ V)) ** 2)\n", "X @ U", "(U @ V)"),
        # a sum of squares is not multiplied out, which could cancel
        ("dim N ~ 9000\ndim D ~ 2\ninput x: [N, D]\nparam Q: [D, D]\nL = sum(sum((x @ Q) ** 2, axis=1))\n", "x @ Q", "Q @ Q.T"),
        ("param A: [N, M]\nparam s: [M]\nL = sum(sum(A / s, axis=0) ** 3)\n", "A.sum(axis=0) / s", "A / s"),
    ],
)
def test_what_is_formed(text: str, formed: str, never: str) -> None:
    made = steps(text, "value")
    assert formed in made and never not in made
    literal = steps(text, "value", *LITERAL)
    assert never in literal or formed in literal


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [
        ("nthd,hde->nhte", ((3, 4, 2, 5), (2, 5, 6))),
        ("nthd,hde->nthe", ((3, 4, 2, 5), (2, 5, 6))),
        ("bid,ijde->bije", ((3, 4, 5), (4, 2, 5, 6))),
        ("hde,nthd->enth", ((2, 5, 6), (3, 4, 2, 5))),
        ("btd,hde->bhte", ((3, 4, 5), (2, 5, 6))),
        ("bhts,bshd->btd", ((3, 2, 4, 5), (3, 5, 2, 6))),
        ("bhts,bshd->dbt", ((3, 2, 4, 5), (3, 5, 2, 6))),
        ("ab,bcd->dac", ((2, 3), (3, 4, 5))),
    ],
)
def test_stacks_of_matrices_are_multiplied_by_blas(spec: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    """As where every head, or every pair of capsules, has a matrix of its own; arrays whose names end alike keep their sizes apart."""
    module = module_of(compile_text(f"param x\nparam x_W\nL = sum(tanh(einsum('{spec}', x, x_W)))\n", "it"), "it")
    assert "np.einsum(" not in steps(f"param x\nparam x_W\nL = sum(tanh(einsum('{spec}', x, x_W)))\n", "value")
    x, W = (np.random.default_rng(0).normal(size=shape) for shape in shapes)
    value, fused = module.value_and_grad(x, W)
    slope = 1 - np.tanh(np.einsum(spec, x, W)) ** 2
    (left, right), output = spec.partition("->")[0].split(","), spec.partition("->")[2]
    np.testing.assert_allclose(value, np.tanh(np.einsum(spec, x, W)).sum(), rtol=1e-12)
    for gradients in (fused, module.backward(module.forward(x, W)[1])):
        np.testing.assert_allclose(gradients.x, np.einsum(f"{output},{right}->{left}", slope, W), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(gradients.x_W, np.einsum(f"{output},{left}->{right}", slope, x), rtol=1e-11, atol=1e-12)


def steps(text: str, function: str, *without: str) -> str:
    """A function's statements."""
    made = compile_source(Source("it.expr", text), "it", Options(format=False, without=without)).text
    body = made.partition(f"def {function}(")[2].partition("\ndef ")[0]
    return "".join(f"{line}\n" for line in body.splitlines() if not line.strip().startswith("#"))


def test_gradients_form_no_product_either() -> None:
    assert "difference.dot(A).dot(B)" in steps(CHAIN + "L = sum((A @ B @ x - y) ** 2)\n", "value_and_grad")


def test_a_mixture_is_no_less_accurate_than_its_text() -> None:
    """Narrow components far from the origin: the sum of squares of Q @ (x - mu) keeps its digits."""
    text = """
input x: [N, D]
param mu: [K, D]
param d: [K, D]
param M: [K, D, D]
z = x[:, None, :] - mu
L = sum((d * z + einsum('kij,nkj->nki', M, z)) ** 2)
"""
    ordered, literal = compiled(text), compiled(text, *LITERAL)
    rng = np.random.default_rng(0)
    mu = 1e6 + rng.normal(size=(4, 3))
    x = np.repeat(mu, 8, axis=0) + 1e-3 * rng.normal(size=(32, 3))
    d, M = 1e3 + rng.normal(size=(4, 3)), rng.normal(size=(4, 3, 3))
    wide = [each.astype(np.longdouble) for each in (x, mu, d, M)]
    z = wide[0][:, None] - wide[1]
    scaled = wide[2] * z + np.einsum("kij,nkj->nki", wide[3], z)
    exact = {"mu": -2 * ((scaled * wide[2]).sum(axis=0) + np.einsum("kij,nki->kj", wide[3], scaled)), "d": 2 * (scaled * z).sum(axis=0)}
    exact["M"] = 2 * np.einsum("nki,nkj->kij", scaled, z)
    found, expected = ordered.value_and_grad(x, mu, d, M), literal.value_and_grad(x, mu, d, M)

    def error(one: Any, other: Any) -> float:
        return float(np.abs((one - other) / other).max())

    total = (scaled**2).sum()
    assert error(found[0], total) <= max(4 * error(expected[0], total), 1e-15)
    for name, each in exact.items():
        assert error(getattr(found[1], name), each) <= max(4 * error(getattr(expected[1], name), each), 1e-14)


def test_what_was_reordered_is_told() -> None:
    def told(text: str) -> list[tuple[str, str]]:
        program = compile_source(Source("it.expr", CHAIN + text), "it", Options(format=False)).program
        return [(each.before, each.after) for each in program.rewrites if each.line and each.line.number == 4]

    assert told("L = sum((A @ B @ x - y) ** 2)\n") == [("A @ B @ x", "A @ (B @ x)")]
    assert told("L = sum((A @ B @ (x + y)) ** 2)\n") == [("A @ B @ (x + y)", "A @ (B @ (x + y))")]
    assert told("L = sum((A @ B @ tanh(x + sin(y) * 3)) ** 2)\n") == [("A @ B @ np.tanh(x + multiply(…))", "A @ (B @ np.tanh(x + multiply(…)))")]
