"""The derivative where there is none: JAX's at kinks and ties, and 0 where JAX has NaN though 0 is a subgradient or a branch is dead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops_support import module

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

INF = np.inf

# expression, arguments by name, their gradients in that order
POINTS: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("relu(x)", {"x": [0.0, -0.0]}, [[0, 0]]),
    ("abs(x)", {"x": [0.0, -0.0]}, [[0, 0]]),
    ("sign(x) + floor(x) + ceil(x) + round(x)", {"x": [0.0, 1.0, 0.5]}, [[0, 0, 0]]),
    ("x % y", {"x": [4.0], "y": [2.0]}, [[1], [-2]]),
    ("max(x)", {"x": [1.0, 3.0, 3.0, 3.0]}, [[0, 1 / 3, 1 / 3, 1 / 3]]),
    ("min(x)", {"x": [1.0, 3.0, 1.0]}, [[0.5, 0, 0.5]]),
    ("max(x, axis=0)", {"x": [[1.0, 2.0], [1.0, 0.0]]}, [[[0.5, 1], [0.5, 0]]]),
    ("max(x, axis=(0, 1), keepdims=True)", {"x": [[1.0, 1.0], [1.0, 1.0]]}, [[[0.25, 0.25], [0.25, 0.25]]]),
    ("norm(x, inf)", {"x": [2.0, -2.0]}, [[0.5, -0.5]]),
    ("max_pool1d(x, 2)", {"x": [[[1.0, 1.0, 2.0, 3.0]]]}, [[[[0.5, 0.5, 0, 1]]]]),
    ("max_pool2d(x, 2)", {"x": [[[[5.0, 5.0], [5.0, 5.0]]]]}, [[[[[0.25, 0.25], [0.25, 0.25]]]]]),
    ("maximum(x, y)", {"x": [1.0, 2.0, 0.0], "y": [1.0, 1.0, 3.0]}, [[0.5, 1, 0], [0.5, 0, 1]]),
    ("minimum(x, y)", {"x": [1.0, 2.0, 0.0], "y": [1.0, 1.0, 3.0]}, [[0.5, 0, 1], [0.5, 1, 0]]),
    ("where(x > 0, sigmoid(-log(x)), x)", {"x": [0.0, 1.0]}, [[1, -0.25]]),
    ("maximum(x, x)", {"x": [1.0]}, [[1]]),
    ("clip(x, y, 3)", {"x": [1.0, 3.0], "y": [1.0, 0.0]}, [[0.5, 0.5], [0.5, 0]]),
    ("sqrt(x)", {"x": [0.0]}, [[INF]]),
    ("sqrt(sum(relu(x)))", {"x": [-1.0, -2.0]}, [[0, 0]]),
    ("sqrt(sum(where(y > 0, x, 0)))", {"x": [0.0, 0.0], "y": [1.0, 0.0]}, [[INF, 0], [0, 0]]),
    ("sum(where(y > 0, x, 0)) ** 0.5 + 1", {"x": [4.0, 0.0], "y": [1.0, 0.0]}, [[0.25, 0], [0, 0]]),
    ("cbrt(x)", {"x": [0.0]}, [[INF]]),
    ("x ** 0.5", {"x": [0.0]}, [[INF]]),
    ("norm(x)", {"x": [0.0, 0.0]}, [[0, 0]]),
    ("norm(x, axis=1)", {"x": [[0.0, 0.0], [3.0, 4.0]]}, [[[0, 0], [0.6, 0.8]]]),
    ("norm(x, 3)", {"x": [0.0, 0.0]}, [[0, 0]]),
    ("where(norm(x) > 0, x / norm(x), 0)", {"x": [0.0, 0.0]}, [[0, 0]]),
    ("where(norm(x, axis=1, keepdims=True) == 0, y * x, x / norm(x, axis=1, keepdims=True))", {"x": [[0.0, 0.0], [1.0, 0.0]], "y": 3.0}, [[[3, 3], [0, 1]], 0]),
    ("where(std(x) > 0, (x - mean(x)) / std(x), 0)", {"x": [2.0, 2.0]}, [[0, 0]]),
    ("norm(x, 'fro')", {"x": [[0.0, 0.0]]}, [[[0, 0]]]),
    ("hypot(x, y)", {"x": [0.0, 3.0], "y": [0.0, 4.0]}, [[0, 0.6], [0, 0.8]]),
    ("std(x)", {"x": [2.0, 2.0]}, [[0, 0]]),
    ("x ** 0", {"x": [0.0, 2.0]}, [[0, 0]]),
    ("x ** y", {"x": [0.0, 0.0, 0.0], "y": [0.0, 1.0, 2.0]}, [[0, 1, 0], [0, 0, 0]]),
    ("xlogy(x, y)", {"x": [0.0, 0.0], "y": [0.0, 1.0]}, [[-INF, 0], [0, 0]]),
    ("entr(x)", {"x": [0.0]}, [[INF]]),
    ("kl_divergence(x, y)", {"x": [0.0, 1.0], "y": [0.0, 1.0]}, [[0, 1], [0, -1]]),
    ("prod(x)", {"x": [0.0, 2.0, 0.0]}, [[0, 0, 0]]),
    ("cumprod(x)", {"x": [0.0, 2.0, 3.0]}, [[9, 0, 0]]),
    ("det(x)", {"x": [[1.0, 2.0], [2.0, 4.0]]}, [[[4, -2], [-2, 1]]]),
    ("stop_gradient(x) * x", {"x": [3.0]}, [[3]]),
    # the side that is not taken
    ("where(x > 0, sqrt(x), 0)", {"x": [0.0, -1.0, 4.0]}, [[0, 0, 0.25]]),
    ("where(x > 0, log(x), x)", {"x": [0.0, -1.0, 4.0]}, [[1, 1, 0.25]]),
    ("where(x == 0, 1, sin(x) / x)", {"x": [0.0]}, [[0]]),
    ("where(x == 0, 0, y / x)", {"x": [0.0, 2.0], "y": [1.0, 1.0]}, [[0, -0.25], [0, 0.5]]),
    ("where(x > 0, x ** 1.5 * log(x), 0)", {"x": [0.0, 1.0]}, [[0, 1]]),
    ("log(x) if x > 0 else 0", {"x": [0.0, 2.0]}, [[0, 0.5]]),
    ("3 * where(x > 0, 1 / x, 0) ** 2", {"x": [0.0, 1.0]}, [[0, -6]]),
    ("where(x > 0, where(x > 1, sqrt(x - 1), x), 0)", {"x": [0.0, 1.0, 2.0]}, [[0, 1, 0.5]]),
    ("where(x[:, None] > 0, sqrt(x)[:, None], 0)", {"x": [0.0, 4.0]}, [[0, 0.25]]),
    ("where(x[::-1] > 0, sqrt(x)[::-1], 0)", {"x": [0.0, 4.0]}, [[0, 0.25]]),
    ("where(x.T > 0, log(x).T * y, 0)", {"x": [[0.0, 2.0]], "y": 3.0}, [[[0, 1.5]], np.log(2)]),
    ("where(x < 0, arcsin(2 + x), y)", {"x": 0.5, "y": [1.0, 2.0]}, [0, [1, 1]]),
    ("where(x > 0, log(x), y)", {"x": [0.0, 2.0], "y": [[1.0, 2.0], [3.0, 4.0]]}, [[0, 1], [[1, 0], [1, 0]]]),
    ("where(x > 0, y, 1 / x)", {"x": [[0.0], [2.0]], "y": [[1.0, 2.0], [3.0, 4.0]]}, [[[-INF], [0]], [[0, 0], [1, 1]]]),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("expression", "arguments", "gradients"), POINTS, ids=[each[0] for each in POINTS])
def test_point(expression: str, arguments: dict[str, Any], gradients: list[Any], dtype: Any) -> None:
    """By backward, by value_and_grad, and with a cotangent that is not 1."""
    inputs = {name: np.array(value, dtype) for name, value in arguments.items()}
    declared = [f"param {name}: [{', '.join(map(str, value.shape))}]" for name, value in inputs.items()]
    compiled = module("\n".join([*declared, f"out = sum({expression})", ""]))
    tape = compiled.forward(**inputs)[1]
    tolerance = 1e-6 if dtype is np.float32 else 1e-14
    for scale, found in ((1.0, compiled.backward(tape)), (2.0, compiled.backward(tape, 2.0)), (1.0, compiled.value_and_grad(**inputs)[1])):
        for gradient, wanted in zip(found, gradients, strict=True):
            assert gradient.dtype == dtype
            np.testing.assert_allclose(gradient, scale * np.array(wanted), rtol=tolerance, atol=tolerance)
