"""The functions that are written in the language itself: values and derivatives against 50 digits, conventions at kinks, extremes."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from dsl import compile_text
from dsl.api import module_of
from dsl.library import library

mpmath.mp.dps = 50
M: Any = mpmath.mpf


def compiled(text: str) -> Any:
    return module_of(compile_text(text), "program")


def elementwise(call: str) -> Any:
    return compiled(f"param x: [N]\ny = {call}\nL = sum(y)\noutput L, y")


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def softplus(x: Any) -> Any:
    return mpmath.log1p(mpmath.exp(x))


def elu(x: Any, alpha: Any) -> Any:
    return x if x > 0 else alpha * mpmath.expm1(x)


ACTIVATIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "relu6": ("relu6(x)", lambda x: min(max(x, 0), 6)),
    "leaky_relu": ("leaky_relu(x)", lambda x: x if x >= 0 else x * M(0.01)),
    "leaky_relu, slope": ("leaky_relu(x, 0.2)", lambda x: x if x >= 0 else x * M(0.2)),
    "elu": ("elu(x)", lambda x: elu(x, 1)),
    "elu, alpha": ("elu(x, alpha=0.3)", lambda x: elu(x, M(0.3))),
    "selu": ("selu(x)", lambda x: M("1.0507009873554804934193349852946") * elu(x, M("1.6732632423543772848170429916717"))),
    "celu": ("celu(x)", lambda x: elu(x, 1)),
    "celu, alpha": ("celu(x, 2.5)", lambda x: max(x, 0) + M(2.5) * mpmath.expm1(min(x, 0) / M(2.5))),
    "gelu": ("gelu(x)", lambda x: x * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + M("0.044715") * x**3))) / 2),
    "gelu, exact": ("gelu(x, approximate=False)", lambda x: x * mpmath.ncdf(x)),
    "silu": ("silu(x)", lambda x: x * sigmoid(x)),
    "mish": ("mish(x)", lambda x: x * mpmath.tanh(softplus(x))),
    "hard_tanh": ("hard_tanh(x)", lambda x: min(max(x, -1), 1)),
    "hard_sigmoid": ("hard_sigmoid(x)", lambda x: min(max(x + 3, 0), 6) / 6),
    "soft_sign": ("soft_sign(x)", lambda x: x / (1 + abs(x))),
}

KINKS = [
    ("relu6(x)", 0.0, 0.0),
    ("relu6(x)", 6.0, 0.0),
    ("leaky_relu(x)", 0.0, 1.0),
    ("elu(x, 0.3)", 0.0, 0.3),
    ("selu(x)", 0.0, 1.0507009873554805 * 1.6732632423543772),
    ("celu(x, 2.5)", 0.0, 1.0),
    ("hard_tanh(x)", -1.0, 1.0),
    ("hard_tanh(x)", 1.0, 1.0),
    ("hard_sigmoid(x)", -3.0, 0.0),
    ("hard_sigmoid(x)", 3.0, 0.0),
    ("soft_sign(x)", 0.0, 1.0),
    ("mae(x, 0)", 0.0, 0.0),
    ("huber(x, 0)", 1.0, 1.0),
]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    call, reference = ACTIVATIONS[name]
    points = np.array([-37.7, -9.3, -4.4, -2.1, -0.7, -1e-9, 1e-9, 0.3, 0.9, 2.2, 5.7, 9.1, 40.3])
    outputs, tape = (module := elementwise(call)).forward(points)
    values = [float(reference(M(point))) for point in points]
    slopes = [float(mpmath.diff(reference, M(point), h=M(10) ** -20)) for point in points]
    assert np.allclose(outputs.y, values, rtol=1e-13, atol=0)
    assert np.allclose(module.backward(tape).x, slopes, rtol=3e-13, atol=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activation_far_out(name: str, dtype: Any) -> None:
    points = np.array([-1e12, -1e4, -710.0, -90.0, 0.0, 90.0, 710.0, 1e4, 1e12], dtype)
    outputs, tape = (module := elementwise(ACTIVATIONS[name][0])).forward(points)
    gradient = module.backward(tape).x
    assert outputs.y.dtype == gradient.dtype == dtype
    assert np.isfinite(outputs.y).all() and np.isfinite(gradient).all()


@pytest.mark.parametrize(("call", "point", "slope"), KINKS)
def test_convention(call: str, point: float, slope: float) -> None:
    assert np.isclose(elementwise(call).value_and_grad([point])[1].x[0], slope, rtol=1e-15)


@pytest.mark.parametrize("name", ["elu", "celu", "leaky_relu"])
def test_derivative_of_the_second_argument(name: str) -> None:
    module = compiled(f"input x: [N]\nparam a: []\nL = sum({name}(x, a))")
    x = np.array([-2.0, -0.3, 0.4, 3.0])
    high, low = module.value(x, 0.8 + 1e-6), module.value(x, 0.8 - 1e-6)
    assert np.isclose((high - low) / 2e-6, module.value_and_grad(x, 0.8)[1].a, rtol=1e-8)


def softmax(x: Any, axis: int = -1) -> Any:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


rng = np.random.default_rng(1)
X, Y = rng.normal(size=(2, 6, 4))
P, Q = softmax(X), softmax(Y)
T3 = rng.normal(size=(2, 3, 5))
labels = np.array([0, 3, 1, 1, 2, 3])
labels3 = rng.integers(0, 3, size=(2, 5))
gain, bias, W = rng.normal(size=(3, 4, 1))
mask = np.tril(np.ones((6, 6), bool))


def normal(x: Any, axis: int) -> Any:
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-5)


LOSSES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "glu": ("glu(x)", {"x: [N, 4]": X}, X[:, :2] / (1 + np.exp(-X[:, 2:]))),
    "glu, axis": ("glu(x, axis=0)", {"x: [2 * M, D]": X}, X[:3] / (1 + np.exp(-X[3:]))),
    "mse": ("mse(x, y)", {"x: [N, D]": X, "y: [N, D]": Y}, ((X - Y) ** 2).sum() / 24),
    "mae": ("mae(x, y)", {"x: [N, D]": X, "y: [N, D]": Y}, np.abs(X - Y).sum() / 24),
    "huber": (
        "huber(x, y, 0.7)",
        {"x: [N, D]": X, "y: [N, D]": Y},
        np.mean([d * d / 2 if d < 0.7 else 0.7 * d - 0.245 for d in np.abs(X - Y).ravel()]),
    ),
    "cross_entropy": ("cross_entropy(x, y)", {"x: [N, K]": X, "y: int[N]": labels}, -np.log(P[range(6), labels]).mean()),
    "cross_entropy, probabilities": ("cross_entropy(x, p)", {"x: [N, K]": X, "p: [N, K]": Q}, -(Q * np.log(P)).sum(1).mean()),
    "cross_entropy, one-hot integers": (
        "cross_entropy(x, p)",
        {"x: [N, K]": X, "p: int[N, K]": np.eye(4, dtype=int)[labels]},
        -np.log(P[range(6), labels]).mean(),
    ),
    "cross_entropy, one row": ("cross_entropy(x, y)", {"x: [K]": X[0], "y: int[]": 3}, -np.log(P[0, 3])),
    "cross_entropy, axis": (
        "cross_entropy(x, y, axis=1)",
        {"x: [N, K, T]": T3, "y: int[N, T]": labels3},
        -np.mean([np.log(softmax(T3, 1))[n, labels3[n, t], t] for n in range(2) for t in range(5)]),
    ),
    "cross_entropy, columns": ("cross_entropy(x, y, axis=0)", {"x: [K, N]": X.T.copy(), "y: int[N]": labels}, -np.log(P[range(6), labels]).mean()),
    "nll": ("nll(x, y)", {"x: [N, K]": X, "y: int[N]": labels}, -X[range(6), labels].mean()),
    "binary_cross_entropy": (
        "binary_cross_entropy(x, y)",
        {"x: [N, K]": X, "y: [N, K]": P},
        np.mean(np.log1p(np.exp(X)) - P * X),
    ),
    "sigmoid_binary_cross_entropy": (
        "sigmoid_binary_cross_entropy(x, y)",
        {"x: [N, K]": X, "y: [K]": P[0]},
        np.log1p(np.exp(X)) - P[0] * X,
    ),
    "rel_entr": ("rel_entr(p, q)", {"p: [N, K] positive": P, "q: [K] positive": Q[0]}, P * np.log(P / Q[0])),
    "kl_divergence": ("kl_divergence(p, q)", {"p: [N, K] positive": P, "q: [N, K] positive": Q}, (P * np.log(P / Q)).sum() / 6),
    "cosine_similarity": (
        "cosine_similarity(x, y)",
        {"x: [N, D]": X, "y: [N, D]": Y},
        [np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)) for a, b in zip(X, Y, strict=True)],
    ),
    "dense": ("dense(x, W, b)", {"x: [N, D]": X, "W: [D, 1]": W, "b: [1]": [0.3]}, X @ W + 0.3),
    "layer_norm": ("layer_norm(x, g, b)", {"x: [N, D]": X, "g: [D]": gain[:, 0], "b: [D]": bias[:, 0]}, normal(X, 1) * gain[:, 0] + bias[:, 0]),
    "batch_norm": ("batch_norm(x, g, b)", {"x: [N, D]": X, "g: [D]": gain[:, 0], "b: [D]": bias[:, 0]}, normal(X, 0) * gain[:, 0] + bias[:, 0]),
    "attention": ("attention(q, k, v)", {"q: [T, D]": X, "k: [S, D]": Y, "v: [S, M]": P}, softmax(X @ Y.T / 2) @ P),
    "attention, mask": (
        "attention(q, k, v, mask)",
        {"q: [T, D]": X, "k: [S, D]": Y, "v: [S, M]": P, "mask: bool[T, S]": mask},
        softmax(np.where(mask, X @ Y.T / 2, -np.inf)) @ P,
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str) -> None:
    call, inputs, expected = LOSSES[name]
    lines = [f"{'input' if 'int' in each or 'bool' in each else 'param'} {each}" for each in inputs]
    module = compiled("\n".join([*lines, f"out = {call}", "L = sum(sin(out))", "output L, out"]))
    arguments = list(inputs.values())
    outputs, gradients = module.value(*arguments), module.value_and_grad(*arguments)[1]
    assert np.allclose(outputs.out, expected, rtol=1e-13)
    names = [each.partition(":")[0] for each in inputs]
    for field, gradient in gradients._asdict().items():
        at = names.index(field)
        direction = rng.normal(size=np.shape(gradient))
        high, low = (module.value(*arguments[:at], arguments[at] + step * direction, *arguments[at + 1 :]).L for step in (1e-6, -1e-6))
        assert np.isclose((high - low) / 2e-6, (gradient * direction).sum(), rtol=1e-6, atol=1e-9)


def test_every_function_is_tested() -> None:
    assert {each.partition(",")[0] for each in [*ACTIVATIONS, *LOSSES]} == set(library())


def test_every_function_is_documented() -> None:
    assert all(entry.doc.endswith(".") and entry.family in ("activations", "losses and layers") for entry in library().entries.values())


def test_losses_of_large_logits() -> None:
    module = compiled("param z: [N]\ninput t: [N]\nL = binary_cross_entropy(z, t)")
    loss, gradients = module.value_and_grad([800.0, -800.0, 30.0], [0.0, 1.0, 1.0])
    assert np.isclose(loss, 1600 / 3, rtol=1e-15)
    assert np.allclose(gradients.z * 3, [1, -1, -float(sigmoid(M(-30)))], rtol=1e-14)
    module = compiled("param z: [N, K]\ninput t: int[N]\nL = cross_entropy(z, t)")
    loss, gradients = module.value_and_grad([[1e4, 0.0, -1e4]], [2])
    assert loss == 2e4 and np.array_equal(gradients.z, [[1.0, 0.0, -1.0]])


def test_a_query_without_keys_is_finite() -> None:
    module = compiled(
        "param q: [T, D]\nparam k: [S, D]\nparam v: [S, M]\ninput mask: bool[T, S]\nout = attention(q, k, v, mask)\nL = sum(sin(out))\noutput L, out"
    )
    arguments = X, Y, P, np.zeros((6, 6), bool)
    assert np.allclose(module.value(*arguments).out, P.mean(0))
    assert all(np.isfinite(each).all() for each in module.value_and_grad(*arguments)[1])


def test_cosine_of_a_zero_vector() -> None:
    module = compiled("param a: [D]\nparam b: [D]\nL = cosine_similarity(a, b)")
    loss, gradients = module.value_and_grad(np.zeros(4), X[0])
    assert loss == 0 and not gradients.a.any() and not gradients.b.any()
    module = compiled("param a, b: [N, D]\nL = sum(cosine_similarity(a, b))")
    loss, gradients = module.value_and_grad(np.float32([[0, 0], [3, 4]]), np.float32([[5, 12], [4, 3]]))
    assert loss == np.float32(0.96) and gradients.a.dtype == np.float32
    assert not gradients.a[0].any() and not gradients.b[0].any() and gradients.a[1].any()


def test_divergence_where_a_probability_is_zero() -> None:
    module = compiled("param p, q: [K]\nL = kl_divergence(p, q)")
    loss, gradients = module.value_and_grad([0.0, 0.0, 1.0], [0.0, 0.5, 0.5])
    assert np.isclose(loss, np.log(2), rtol=1e-15)
    assert np.allclose(gradients.p, [0, 0, 1 + np.log(2)], rtol=1e-15) and np.array_equal(gradients.q, [0, 0, -2])
