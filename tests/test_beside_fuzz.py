"""Random programs in which each row stands beside each: in small blocks, by one thread and by several, they give what the pair gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.formulas import formula
from tests.test_blocks import made, pair, ways

# rows of features, a number for each row, rows beside rows, and what is made of these in the end
FORMS = {
    "f": ("({f} @ W)", "tanh({f})", "({f} + {f})", "({f} * u)", "softmax({f})", "({s} @ {f})", "({f} - mean({f}, axis=1, keepdims=True))"),
    "v": ("({f} @ u)", "sum({f}, axis=1)", "({v} * {v})", "sin({v})", "sum({s}, axis=1)", "max({s}, axis=1)", "logsumexp({s}, axis=1)"),
    "s": (
        *("({f} @ {f}.T)", "({v}[:, None] - {v})", "({v}[:, None] * {v})", "sum(({f}[:, None] - {f}) ** 2, axis=-1)", "({s} + {s})", "({s} * {s})"),
        *("tanh({s})", "exp(-{s} ** 2)", "softmax({s})", "log_softmax({s})", "where(order, {s}, 0.0)", "softmax(where(order, {s}, -1e9))"),
        *("({s} * (1 - eye(N)))", "({s} + M)", "({s} - {v}[:, None])", "softmax({s}, axis=0)", "{s}.T", "({s} / (1 + {s} ** 2))"),
    ),
    "L": (
        *("sum({s} ** 2)", "mean(tanh({s}))", "sum(tanh({v}))", "sum({f} * y)", "sum(({f} - y) ** 2)", "norm({v})", "trace({s})"),
        *("sum(tanh(sum({s}, axis=0)))", "cross_entropy({s}, arange(N))", "mean(log_softmax({s})[arange(N), i])"),
    ),
}
GIVEN = {"f": ("x", "y", "x"), "v": ("q", "x[:, 0]"), "s": ("M",), "L": ()}
HEAD = "param x: [N, D]\ninput y: [N, D]\ninput q: [N]\ninput M: [N, N]\ninput i: int[N] in 0:N\nparam W: [D, D]\nparam u: [D]\n"
ORDER = "order = arange(N)[:, None] >= arange(N)\n"
ALL = " + 0.1 * (sum(x) + sum(y) + sum(q) + sum(M) + sum(W) + sum(u) + sum(i))"


@st.composite
def programs(draw: DrawFn) -> str:
    hint = "dim N ~ 5000\n" * draw(st.booleans())
    return f"{hint}{HEAD}{ORDER}L = {' + '.join(formula(draw, 'L', FORMS, GIVEN, 4) for _ in range(draw(st.integers(1, 2))))}{ALL}\noutput L\n"


def compare(found: Any, expected: Any) -> None:
    assert np.isclose(found[0], expected[0], rtol=1e-8, atol=1e-8, equal_nan=True)
    for one, other in zip(found[1], expected[1], strict=True):
        largest = max(np.abs(other).max(), 1.0)
        assert one.shape == other.shape and np.allclose(one, other, rtol=1e-6, atol=1e-8 * largest, equal_nan=True)


@settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(programs())
@np.errstate(all="ignore")
def test_blocks_of_rows_beside_rows(text: str) -> None:
    module = made(text)
    if hasattr(module, "_BLOCK_BYTES"):
        module.__dict__.update(_BLOCK_BYTES=0, _SMALL_BYTES=0, _LEAST_ROWS=2)
    for rows in (1, 7):
        rng = np.random.default_rng(rows)
        arrays = {"x": (rows, 3), "y": (rows, 3), "q": (rows,), "M": (rows, rows), "W": (3, 3), "u": (3,)}
        arguments: dict[str, Any] = {name: rng.normal(size=shape) for name, shape in arrays.items()} | {"i": rng.integers(rows, size=rows)}
        expected = pair(module, arguments)
        for threads in ways(module):
            compare(module.value_and_grad(**arguments, **threads), expected)
