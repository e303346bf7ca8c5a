"""Like terms: derivatives of derivatives stay short, compile at once, and are as exact as their factors."""

import time
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import dsl
from dsl.api import module_of
from dsl.calculus.polynomials import collected
from dsl.nodes import Apply, Const, Node, argument, const, topological
from dsl.ops.elementwise import ew
from dsl.types import TensorType

FUNCTIONS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "tanh(x)": (mpmath.tanh, 10),
    "sigmoid(x)": (lambda x: 1 / (1 + mpmath.exp(-x)), 8),
    "log(1 + exp(x))": (lambda x: mpmath.log(1 + mpmath.exp(x)), 8),
    "exp(-x ** 2 / 2)": (lambda x: mpmath.exp(-(x**2) / 2), 8),
    "1 / (1 + x ** 2)": (lambda x: 1 / (1 + x**2), 8),
    "arctan(x)": (mpmath.atan, 8),
    "sqrt(x)": (mpmath.sqrt, 8),
    "log(x)": (mpmath.log, 8),
    "sin(x) * exp(x)": (lambda x: mpmath.sin(x) * mpmath.exp(x), 8),
    "x * sigmoid(x)": (lambda x: x / (1 + mpmath.exp(-x)), 5),
    "erf(x)": (mpmath.erf, 6),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nested_derivatives_of_one_variable(function: str) -> None:
    """Tens of lines, in seconds, as exact as one sum of rounded terms can be."""
    exact, order = FUNCTIONS[function]
    lines = ["param x: [N]", f"d0 = {function}", *(f"d{i + 1} = grad(sum(d{i}), x)" for i in range(order)), f"output d{order}"]
    start = time.perf_counter()
    text = dsl.compile_text("\n".join(lines))
    assert time.perf_counter() - start < 10
    steps = text[text.index("def value(") :]
    steps = steps[steps.index("_checked(x)") : steps.index("    return ")]
    assert steps.count("\n") < 60
    x = np.array([0.1, 0.3, 1.7, 4.0])
    with mpmath.workdps(50):
        expected = [float(mpmath.taylor(exact, mpmath.mpf(each), order)[order] * mpmath.factorial(order)) for each in x]
    # the last is where tanh is nearly 1: what is lost there is lost in 1 - tanh(x) ** 2
    np.testing.assert_allclose(module_of(text, "program").value(x), expected, rtol=3e-13)


X = argument("x", "input", TensorType("float", ()))
T = ew("tanh", X)
S = ew("subtract", const(1), ew("power", T, const(2)))


def evaluated(node: Node, x: float) -> float:
    values: dict[Node, float] = {X: x}
    work = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "power": np.power, "negative": np.negative, "tanh": np.tanh}
    for each in topological([node]):
        if isinstance(each, Apply):
            values[each] = work[each.op.name](*(values[arg] for arg in each.args))
        elif each is not X:
            assert isinstance(each, Const)
            values[each] = each.value
    return values[node]


def test_what_some_terms_are_divided_by_is_not_put_over_all() -> None:
    """exp(800) is infinite, and what is divided by it nothing: the rest stays as it is."""
    module = module_of(
        dsl.compile_text("""
input y: [N]
param A: [M, N]
param B: [M, M]
param s: []
V = B @ A
L = sum((y + sum(A ** 2, axis=0) + sum(V ** 2, axis=0)) / exp(2 * s)) + sum(A)
"""),
        "program",
    )
    A, B = np.full((2, 3), 1.5), np.eye(2)
    with np.errstate(over="ignore"):
        for gradients in (module.backward(module.forward(np.ones(3), A, B, 400.0)[1]), module.value_and_grad(np.ones(3), A, B, 400.0)[1]):
            assert np.array_equal(gradients.A, np.ones((2, 3))) and np.array_equal(gradients.B, np.zeros((2, 2)))


def test_random_sums_keep_their_values() -> None:
    rng = np.random.default_rng(3)
    collected_some = 0
    for _ in range(600):
        pool: list[Node] = [X, T, S, ew("divide", X, T), const(2), const(-3), const(0.5)]
        for _ in range(12):
            name = str(rng.choice(["add", "subtract", "multiply", "multiply", "power", "negative", "divide"]))
            one, other = (pool[int(i)] for i in rng.integers(len(pool), size=2))
            args = [one] if name == "negative" else [one, const(int(rng.integers(2, 4)))] if name == "power" else [one, other]
            pool.append(ew(name, *args))
        new = collected(pool[-1])
        collected_some += new is not pool[-1]
        for at in (0.3, -1.7):
            with np.errstate(all="ignore"):
                np.testing.assert_allclose(evaluated(new, at), evaluated(pool[-1], at), rtol=1e-9)
    assert collected_some > 20


def test_what_is_divided_by_itself_is_no_factor() -> None:
    """``a * v / v`` and ``a`` are one term: neither is lost."""
    quotient = ew("divide", ew("multiply", T, X), X)
    found = collected(ew("add", quotient, ew("multiply", const(2), T)))
    np.testing.assert_allclose(evaluated(found, 0.7), 3 * np.tanh(0.7), rtol=1e-15)
    text = """
param y: []
v = sqrt(y ** 2 + 0.1)
L0 = (v / (1 + v ** 2)) ** 2
G = grad(L0, y)
L = grad(G, y)
"""
    with mpmath.workdps(30):
        exact = mpmath.diff(lambda y: (y**2 + mpmath.mpf(0.1)) / (1 + y**2 + mpmath.mpf(0.1)) ** 2, 0.3, 2)
    np.testing.assert_allclose(module_of(dsl.compile_text(text), "program").value(0.3), float(exact), rtol=1e-14)


def test_a_sum_that_vanishes_with_another_is_not_multiplied_out() -> None:
    """(1 - t ** 2) ** 2 is tiny where t is nearly 1, and 1 - 2 t ** 2 + t ** 4 is rounding errors."""
    squares = ew("add", ew("multiply", S, S), ew("multiply", ew("multiply", const(2), S), S))
    found = evaluated(collected(squares), 15.0)
    np.testing.assert_allclose(found, 3 * evaluated(S, 15.0) ** 2, rtol=1e-15)


def test_arguments_are_not_multiplied_out() -> None:
    """x - y is exact where x and y are close; x ** 2 - x * y is not."""
    y = argument("y", "input", TensorType("float", ()))
    close = ew("subtract", ew("multiply", ew("subtract", X, y), X), ew("multiply", const(0.0001), ew("multiply", X, y)))
    assert collected(close) is close


def value_of(text: str) -> str:
    source = dsl.compile_text(text)
    return source[source.index("def value(") :].partition("    return ")[0]


def test_a_sigmoid_is_made_once_for_its_derivatives() -> None:
    text = value_of("input X: [N, D]\nparam w: [D]\nL = sum(log(1 + exp(X @ w)))\ng = grad(L, w)\nH = hessian(L, w)\noutput g, H")
    assert text.count("_sigmoid(") == 1 and "* (1 - sigmoid)" in text


@pytest.mark.parametrize("written", ["1 - sigmoid(x)", "sigmoid(x) / (1 - sigmoid(x))", "sigmoid(x) * sigmoid(-x)", "y * (1 - sigmoid(x))"])
def test_what_is_left_of_a_sigmoid_is_exact(written: str) -> None:
    program = module_of(dsl.compile_text(f"param x: [N]\ninput y: [N]\nr = {written}"), "program")
    sigmoid, x, y = (lambda x: 1 / (1 + mpmath.exp(-x))), np.array([-40.0, 0.3, 40.0]), np.ones(3)
    with mpmath.workdps(50):
        expected = [float(eval(written, {"sigmoid": sigmoid, "x": mpmath.mpf(each), "y": 1})) for each in x]
    np.testing.assert_allclose(program.value(x, y), expected, rtol=1e-14)
