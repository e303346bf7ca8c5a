"""Random loops: with every pass and with none that can be left out, value_and_grad and the pair give the same, in float32 in that precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from dsl.api import module_of
from dsl.diagnostics import Source
from dsl.pipeline import OPTIONAL, Options, compile_source
from tests.formulas import formula

# vectors, matrices and numbers, of others
FORMS = {
    "v": (
        *("({v} + {v})", "({v} - {v})", "({v} * {v})", "({v} / (1 + {v} ** 2))", "-{v}", "({n} * {v})", "({m} @ {v})", "({v} @ {m})"),
        *("tanh({v})", "sigmoid({v})", "(1 - sigmoid({v}))", "softmax({v})", "where({v} > 0.1, {v}, 0.5)", "sum({m}, axis=0)", "sum({m}, axis=1)"),
        *("logsumexp({v}[:, None] + {m}, axis=0)", "logsumexp({n} * {m} - {v}, axis=1)"),
    ),
    "m": ("({m} + {m})", "({m} - {m})", "({m} * {m})", "({m} @ {m})", "{m}.T", "tanh({m})", "outer({v}, {v})", "({v} * {m})", "({n} * {m})"),
    "n": ("({n} * {n})", "({n} - {n})", "tanh({n})", "sum({v} * {v})", "({v} @ {v})", "sum({v})", "sum({m} * {m})"),
}
GIVEN = {"v": ("h", "u", "w"), "m": ("A", "B"), "n": ("c",)}
CARRIED = {"h": ("v", "tanh({})", ("h0", "zeros(K)", "w")), "P": ("m", "0.5 * tanh({})", ("A", "zeros((K, K))")), "s": ("n", "tanh({})", ("0.0", "c"))}
HEAD = "input X: [T, D]\nparam E: [D, K]\nparam A, B: [K, K]\nparam u, w, h0: [K]\nparam c: []\n"
TAIL = "0.1 * (sum(u) + sum(w) + sum(h0) + c + sum(A) + sum(B) + sum(E)) + 0 * sum(X)"
SHAPES = {"X": (4, 2), "E": (2, 3), "A": (3, 3), "B": (3, 3), "u": (3,), "w": (3,), "h0": (3,), "c": ()}


@st.composite
def loops(draw: DrawFn) -> str:
    """A program with one loop, over rows of X or a number of turns."""
    names = dict(GIVEN)
    carries = ["h", *(each for each in "Ps" if draw(st.booleans()))]
    for carry in carries[1:]:
        names[CARRIED[carry][0]] += (carry,)
    over = draw(st.sampled_from(("X", "4", "T")))
    lines = ["    e = x @ E"] * (over == "X")
    names["v"] += ("e",) * (over == "X")
    for i in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from("vmn"))
        lines.append(f"    t{i} = {formula(draw, kind, FORMS, names, 2)}")
        names[kind] += (f"t{i}",)
    result = ", ".join(CARRIED[carry][1].format(formula(draw, CARRIED[carry][0], FORMS, names, 3)) for carry in carries)
    start = ", ".join(draw(st.sampled_from(CARRIED[carry][2])) for carry in carries)
    way, checkpoint = draw(st.sampled_from((("fold", ""), ("scan", ""), ("fold", ", checkpoint=2"))))
    listed = "({})" if len(carries) > 1 else "{}"
    head = f"def f({listed.format(', '.join(carries))}{', x' * (over == 'X')}):"
    call = f"{', '.join(f'r{carry}' for carry in carries)} = {way}(f, {listed.format(start)}, {over}{checkpoint})"
    total = " + ".join(f"sum(sin(r{carry}))" for carry in carries)
    return "\n".join([HEAD + head, *lines, f"    return {result}", call, f"L = {total} + {TAIL}\n"])


def module(text: str, without: tuple[str, ...]) -> Any:
    return module_of(compile_source(Source("loop.expr", text), "loop", Options(without=without, format=False)).text, "loop")


def holds(text: str) -> None:
    rng = np.random.default_rng(0)
    arguments = {name: rng.normal(size=shape) if shape else np.float64(0.3) for name, shape in SHAPES.items()}
    results = []
    for without in ((), OPTIONAL):
        made = module(text, without)
        value, gradients = made.value_and_grad(**arguments)
        output, tape = made.forward(**arguments)
        results += [(value, *gradients), (np.asarray(output if not isinstance(output, tuple) else output[0]), *made.backward(tape))]
        single = made.value_and_grad(**{name: each.astype(np.float32) for name, each in arguments.items()})
        assert {np.asarray(each).dtype for each in (single[0], *single[1])} == {np.dtype(np.float32)}
    for other in results[:-1]:
        for found, expected in zip(other, results[-1], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(loops())
def test_passes_change_nothing(text: str) -> None:
    holds(text)


@pytest.mark.parametrize(
    "turn",
    [
        "def f(h, x) = tanh(x @ E)\nrh = scan(f, h0, X)\nL = sum(rh @ A @ u) + ",
        "def f((h, s)) = (tanh(B @ w), tanh(sum(u)))\nrh, rs = fold(f, (w, c), 4)\nL = sum(rh) + rs + ",
        "def f((h, P)) = (tanh(sum((w * w) * sum(B, axis=0)) * (h + (w - w))), tanh(A * A - P))\nrh, rP = scan(f, (h0, A), 4)\nL = sum(rh) + sum(rP) + ",
        "def f(h) = tanh(softmax(h))\nrh = fold(f, h0, T)\nL = sum(sin(rh)) + ",
        "def f(h, x) = tanh(softmax(where(x @ E > 0.1, sum(B, axis=0), 0.5)))\nrh = scan(f, w, X)\nL = sum(sin(rh)) + ",
        "def f(h) = softmax(((c - c) - sum(h * h)) * w @ A.T)\nrh = fold(f, w, T, checkpoint=2)\nL = sum(sin(rh)) + ",
    ],
)
def test_loops_that_random_ones_came_upon(turn: str) -> None:
    """What a turn does not read, and what is 0 but for how it is written."""
    holds(f"{HEAD}{turn}{TAIL}\n")
