"""Derivatives as expressions: each operator against what it means, nested, by intermediates, by tuples, and what it refuses."""

from typing import Any

import mpmath
import numpy as np
import pytest

import dsl
from dsl.api import module_of
from dsl.diagnostics import Source
from dsl.pipeline import compile_source

RNG = np.random.default_rng(0)
X, Y, W, V = RNG.normal(size=(6, 3)), np.sign(RNG.normal(size=6)), RNG.normal(size=3), RNG.normal(size=3)
LOGISTIC = """
input X: [N, D]
input y: [N]
param w: [D]
input v: [D]
z = X @ w
L = sum(log(1 + exp(-y * z)))
"""
P = 1 / (1 + np.exp(-Y * (X @ W)))
GRADIENT = -X.T @ (Y * (1 - P))
HESSIAN = (X.T * (P * (1 - P))) @ X


def module(text: str) -> Any:
    return module_of(dsl.compile_text(text), "program")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("grad(L, w)", GRADIENT),
        ("grad(L, z)", -Y * (1 - P)),
        ("hvp(L, w, v)", HESSIAN @ V),
        ("jvp(z, w, v)", X @ V),
        ("jvp(exp(z), w, v)", np.exp(X @ W) * (X @ V)),
        ("vjp(z, w, y)", Y @ X),
        ("jvp(grad(L, w), w, v)", HESSIAN @ V),
        ("vjp(grad(L, w), w, v)", HESSIAN @ V),
        ("grad(sum(grad(L, w) * v), w)", HESSIAN @ V),
        ("grad(sum(grad(L, w) ** 2), w)", 2 * HESSIAN @ GRADIENT),
    ],
)
def test_of_a_logistic_loss(expression: str, expected: Any) -> None:
    found = module(f"{LOGISTIC}g = {expression}\noutput g\n").value(X=X, y=Y, w=W, v=V)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_tuples_of_names() -> None:
    text = "param a: [N]\nparam b: [N]\nL = sum(a ** 2 * b)\nga, gb = grad(L, (a, b))\n"
    text += "ha, hb = hvp(L, (a, b), (b, a))\nt = jvp(a * b, (a, b), (b, a))\noutput ga, gb, ha, hb, t"
    a, b = V, W
    found = module(text).value(a, b)
    expected = (2 * a * b, a**2, 2 * b * b + 2 * a * a, 2 * a * b, b * b + a * a)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("param x: []\ny = x\nL = x * y\ng = grad(L, y)", 3.0),
        ("param x: []\ndef f(a, b) = grad(a * b, a)\ng = f(x, x)", 3.0),
        ("param x: []\na = x ** 2\nb = x ** 2\ng = grad(a * b, b)", 9.0),
        ("param x: []\ndef f(u) = u ** 3\ndef d(u) = grad(f(u), u)\ng = d(d(x))", 3 * 27.0**2),
        ("param x: []\ng = grad(grad(grad(x ** 4, x), x), x)", 72.0),
        ("g = grad(sum(x ** 3), x)", 27.0),
    ],
)
def test_a_name_is_a_variable_of_its_own(text: str, expected: float) -> None:
    np.testing.assert_allclose(module(text).value(3.0), expected)


def test_the_tenth_derivative() -> None:
    lines = ["param x: []", "d0 = tanh(x)", *(f"d{i + 1} = grad(d{i}, x)" for i in range(10)), "output d10"]
    text = dsl.compile_text("\n".join(lines))
    expected = float(mpmath.diff(mpmath.tanh, 0.3, 10))
    np.testing.assert_allclose(module_of(text, "program").value(0.3), expected, rtol=1e-9)


def test_gradients_of_gradients_are_those_of_differences() -> None:
    text = f"{LOGISTIC}g = grad(L, w)\npenalty = sum(g ** 2)\noutput penalty"
    program = module(text)
    _, (found,) = program.value_and_grad(X=X, y=Y, w=W, v=V)
    step = 1e-6 * np.eye(3)
    expected = [(program.value(X=X, y=Y, w=W + e, v=V) - program.value(X=X, y=Y, w=W - e, v=V)) / 2e-6 for e in step]
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("param x: [N]\ng = grad(x ** 2, x)", "E0302", "jacobian"),
        ("param x: [N]\ninput n: int[N]\ng = grad(sum(n), x)", "E0402", "integer"),
        ("param x: [N]\ng = grad(sum(x ** 2), x[0])", "E0402", "by a name"),
        ("param x: [N]\ninput n: int[N]\ng = grad(sum(x * n), n)", "E0402", "float"),
        ("param x: [N]\nparam v: [M]\ng = jvp(x ** 2, x, v)", "E0301", "shape"),
        ("param x: [N]\ng = sum(argsort(x)) * grad(sum(sort(x) * cumprod(x)), y)", "E0201", "unknown name"),
    ],
)
def test_what_is_refused(text: str, code: str, says: str) -> None:
    with pytest.raises(dsl.DslError) as caught:
        dsl.compile_text(text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code.name == code
    assert says in f"{diagnostic.message} {diagnostic.label} {diagnostic.help}"


def test_independence_is_a_warning_and_zeros() -> None:

    compiled = compile_source(Source("p.expr", "param x: [N]\nparam y: [N]\ng = grad(sum(x), y)\nL = sum(g) + sum(x * y)"), "p")
    assert [each.code.name for each in compiled.warnings] == ["W0101"]
    np.testing.assert_allclose(module_of(compiled.text, "p").value(V, W), V @ W)


JACOBIANS = {
    "elementwise": "tanh(x) * y",
    "a product": "M @ x",
    "softmax": "softmax(x)",
    "cumsum": "cumsum(x ** 2)",
    "norms": "norm(M * x, axis=1)",
    "a gather": "x[i] ** 2",
    "slices": "concatenate([x[1:] * x[:-1], x[:1]])",
    "a matrix": "outer(x, y) + M * x",
    "a reshape": "reshape(outer(x, x), -1)",
    "a solve": "solve(M.T @ M + eye(3), x * y)",
    "logsumexp": "logsumexp(M * x, axis=1)",
    "a choice": "where(x > 0, x ** 3, -x)",
    "a scalar": "sum(x ** 3 * y)",
    "a sort": "sort(x * y)",
    "a loop": "fold(turn, y, M * x)",
    "convolution": "convolve(x, y)",
    "an update": "x.at[1:].add(y[1:] * x[0])",
    "max": "max(M * x, axis=0)",
    "repeated": "tile(x ** 2, 2) + repeat(x, 2)",
    "padded": "pad(x ** 2, 1)",
    "a determinant": "det(M + diag(x)) * y",
}
HEADER = "param x: [3]\ninput y: [3]\ninput M: [3, 3]\ninput i: int[3]\ndef turn(h, m) = tanh(h * m) + x\n"


@pytest.mark.parametrize("name", JACOBIANS)
def test_jacobian(name: str) -> None:
    program = module(f"{HEADER}S = {JACOBIANS[name]}\nJ = jacobian(S, x)\noutput S, J")
    x, y, M, i = W, V, RNG.normal(size=(3, 3)) + 2 * np.eye(3), np.array([2, 0, 0])
    found = program.value(x, y, M, i)
    columns = [(program.value(x + e, y, M, i).S - program.value(x - e, y, M, i).S) / 2e-6 for e in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(found.J, np.stack(columns, -1), rtol=1e-6, atol=1e-7)
    assert found.J.shape == (*np.shape(found.S), 3)


@pytest.mark.parametrize("name", ["elementwise", "a product", "softmax", "norms", "a matrix", "logsumexp", "a loop", "a scalar", "a solve"])
def test_hessian(name: str) -> None:
    program = module(f"{HEADER}S = sum(({JACOBIANS[name]}) ** 2)\ng = grad(S, x)\nH = hessian(S, x)\noutput g, H")
    x, y, M, i = W, V, RNG.normal(size=(3, 3)) + 2 * np.eye(3), np.array([2, 0, 0])
    found = program.value(x, y, M, i)
    columns = [(program.value(x + e, y, M, i).g - program.value(x - e, y, M, i).g) / 2e-6 for e in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(found.H, np.stack(columns, -1), rtol=1e-6, atol=1e-6)


def test_hessian_by_two_names() -> None:
    program = module("param a: [N]\nparam b: [2]\nL = sum(a ** 2) * sum(b ** 2)\n(aa, ab), (ba, bb) = hessian(L, (a, b))\noutput aa, ab, ba, bb")
    a, b = W, V[:2]
    found = program.value(a, b)
    np.testing.assert_allclose(found.aa, 2 * np.sum(b**2) * np.eye(3))
    np.testing.assert_allclose(found.ab, 4 * np.outer(a, b))
    np.testing.assert_allclose(found.ba, found.ab.T)
    np.testing.assert_allclose(found.bb, 2 * np.sum(a**2) * np.eye(2))


def test_structure_is_found() -> None:
    """No identity is multiplied out, and nothing is a loop."""
    text = dsl.compile_text(f"{LOGISTIC}H = hessian(L, w)\nS = softmax(z)\nJ = jacobian(S, z)\nE = jacobian(tanh(z), z)\nQ = hessian(w @ (X.T @ X) @ w, w)")
    value = text[text.index("def value(") :]
    value = value[: value.index("    return ")]
    assert "for " not in value
    assert "np.eye" not in value
    assert "_plus_diagonal(np.outer(-S, S), S)" in value
    assert "np.diag(1 - np.tanh(z) ** 2)" in value


MAPS = {
    "rows": ("def row(x) = tanh(x @ W) ** 2\ny = map(row, X)", lambda X, W: np.tanh(X @ W) ** 2),
    "a number of every row": ("def row(x) = logsumexp(x) * max(x)\ny = map(row, X)", lambda X, W: np.log(np.exp(X).sum(1)) * X.max(1)),
    "several sequences": ("def row((x, z)) = outer(x, z)\ny = map(row, (X, X ** 2))", lambda X, W: X[:, :, None] * X[:, None, :] ** 2),
    "several results": ("def row(x) = sum(x), x * 2\ns, y = map(row, X)", lambda X, W: 2 * X),
    "a loop in every row": ("def step(h, v) = h * 0.5 + v\ndef row(x) = fold(step, 0.0, x)\ny = map(row, X)", None),
    "gradients of every row": ("def loss(x) = sum(tanh(x @ W) ** 2)\ndef row(x) = grad(loss(x), x)\ny = map(row, X)", None),
}


@pytest.mark.parametrize("name", MAPS)
def test_map(name: str) -> None:
    program, expected = MAPS[name]
    compiled = module(f"param X: [N, D]\nparam W: [D, K]\n{program}\nL = sum(y ** 2)\noutput L, y")
    M = RNG.normal(size=(3, 2))
    if expected is not None:
        np.testing.assert_allclose(compiled.value(X, M).y, expected(X, M), rtol=1e-12)
    _, gradients = compiled.value_and_grad(X, M)
    direction = RNG.normal(size=X.shape)
    ends = [compiled.value(X + s * direction, M).L for s in (1e-6, -1e-6)]
    np.testing.assert_allclose(np.sum(gradients.X * direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize(("a", "b"), [("[N]", "[N]"), ("[N]", "[]"), ("[]", "[N]"), ("[N]", "[M, N]")])
def test_of_the_logarithm_of_a_ratio(a: str, b: str) -> None:
    """It is 1 / a, whatever is broadcast."""
    made = module(f"param a: {a}\nparam b: {b}\n\nL = sum(log(a / b))\n")
    shapes = {"[]": (), "[N]": (3,), "[M, N]": (2, 3)}
    above, below = (RNG.uniform(1, 2, size=shapes[each]) for each in (a, b))
    _, (da, db) = made.value_and_grad(above, below)
    np.testing.assert_allclose(da * above, max(below.size // above.size, 1), rtol=1e-14)
    np.testing.assert_allclose(db * below, -max(above.size // below.size, 1), rtol=1e-14)


def test_of_the_logarithm_of_a_ratio_divides_once() -> None:
    assert "dL_da = dL / a\n" in dsl.compile_text("param a: [N]\nparam b: [N]\n\nL = sum(log(a / b))\n")
