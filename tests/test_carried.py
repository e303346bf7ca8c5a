"""Logarithms that a loop carries, as numbers that are scaled in every turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsl import compile_text
from tests.ways import Asked, compare

HEAD = "param E: [T, K]\nparam A: [K, K]\nparam s: [K]\n"
BATCH = "param E: [T, N, K]\nparam A: [K, K]\nparam s: [K]\n"
CHAIN = f"{HEAD}def step(a, e) = logsumexp(a[:, None] + A, axis=0)"
CHAINS = f"{BATCH}def step(a, e) = logsumexp(a[:, :, None] + A, axis=1)"
LAST = "logsumexp(fold(step, s, E))"
LASTS = "logsumexp(fold(step, s + zeros((N, K)), E), axis=1)"
FORMS = {
    "a chain": f"{CHAIN} + e\nL = {LAST}",
    "within": f"{HEAD}def step(a, e) = logsumexp(a[:, None] + A + e, axis=0)\nL = {LAST} ** 2",
    "taken away": f"{HEAD}def step(a, e) = logsumexp(A + a, axis=1) - e\nL = {LAST}",
    "nothing beside": f"{CHAIN}\nL = {LAST} + sum(E)",
    "a number beside": f"{CHAIN} + e\nL = logsumexp(fold(step, s, sum(tanh(E), axis=1)))",
    "the same in all turns": f"{CHAIN} + s\nL = {LAST}",
    "a formula beside": f"{CHAIN} + tanh(e @ A) * e\nL = {LAST}",
    "read twice": f"{CHAIN} + e\nlast = fold(step, s, E)\nL = logsumexp(last) ** 2 + sum(logsumexp(last, keepdims=True))",
    "a batch": f"{CHAINS} + e\nL = sum({LASTS} ** 2)",
    "a row for a batch": f"{CHAINS} + e[0]\nL = sum({LASTS})",
    "a column for a batch": f"{CHAINS} + sum(e, axis=1, keepdims=True)\nL = sum({LASTS} ** 2)",
    "states first": f"{BATCH}def step(a, e) = logsumexp(a[:, None, :] + A[:, :, None], axis=0) + e.T\n"
    "L = sum(logsumexp(fold(step, s[:, None] + zeros((K, N)), E), axis=0, keepdims=True))",
}
LEFT = {
    "an entry": f"{CHAIN} + e\nlast = fold(step, s, E)\nL = logsumexp(last) + last[0]",
    "all moments": f"{CHAIN} + e\nL = sum(logsumexp(scan(step, s, E), axis=1))",
    "all of a batch": f"{CHAINS} + e\nL = logsumexp(fold(step, s + zeros((N, K)), E))",
    "what is read otherwise": f"{CHAIN} + e * tanh(a)\nL = {LAST}",
    "a choice": f"{HEAD}def step(a, e) = where(e > 0, logsumexp(a[:, None] + A, axis=0) + e, a)\nL = {LAST}",
}


def sample(form: str, turns: int, states: int, scale: float) -> dict[str, Any]:
    rng = np.random.default_rng(turns + states)
    rows = (turns, 3, states) if form.startswith(BATCH) else (turns, states)
    return {
        "E": scale * rng.normal(size=rows),
        "A": 2 * rng.normal(size=(states, states)),
        "s": scale * rng.normal(size=states),
    }


@pytest.mark.parametrize("scale", [1.0, 2000.0])
@pytest.mark.parametrize("form", FORMS)
def test_numbers_are_carried(form: str, scale: float) -> None:
    text = FORMS[form]
    asked = Asked("_by_products", text)
    for turns, states in ((0, 4), (1, 4), (2, 1), (30, 4)):
        arguments = sample(text, turns, states, scale)
        compare(asked, arguments, 1e-10 if scale == 1 else 1e-7)
    assert asked.answers == [True] * 4
    way = compile_text(text).partition("def _by_products")[2].partition("def value_and_grad")[0]
    assert "weights_all" in way and "scale" in way and "np.log(sums)" not in way


@pytest.mark.parametrize("form", LEFT)
def test_logarithms_are_carried_where_they_are_read(form: str) -> None:
    text = LEFT[form]
    asked = Asked("_by_products", text)
    for turns, states in ((0, 4), (2, 1), (30, 4)):
        compare(asked, sample(text, turns, states, 1.0), 1e-10)
    assert "scale" not in compile_text(text)


def test_states_that_come_to_nothing() -> None:
    """A state that cannot be at first, one that nothing speaks for in a moment, and a moment that no state survives."""
    asked = Asked("_by_products", FORMS["a chain"])
    arguments = sample(FORMS["a chain"], 6, 4, 1.0)
    arguments["s"][1:] = arguments["E"][2, 1] = -np.inf
    arguments["E"][4, :3] = -1e5
    compare(asked, arguments, 1e-12)
    arguments["E"][3] = -np.inf
    assert asked.module.value_and_grad(**arguments)[0] == -np.inf == asked.module.value(**arguments)


def test_a_loss_far_below_what_floats_hold() -> None:
    """10,000 turns of exp(-50), which is far from what the product of all of them could be."""
    asked = Asked("_by_products", FORMS["a chain"])
    arguments = sample(FORMS["a chain"], 10_000, 3, 0.1)
    arguments["E"] -= 50.0
    compare(asked, arguments, 1e-9)
    value, _ = asked.module.value_and_grad(**arguments)
    assert value < -400_000


def test_single_precision_stays_single() -> None:
    asked = Asked("_by_products", FORMS["a batch"])
    arguments = {name: each.astype(np.float32) for name, each in sample(FORMS["a batch"], 20, 4, 1.0).items()}
    compare(asked, arguments, 1e-4)
    value, gradients = asked.module.value_and_grad(**arguments)
    assert {each.dtype for each in (value, *gradients)} == {np.dtype(np.float32)}
