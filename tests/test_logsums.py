"""Logarithms of sums of exponentials as those of products: taken where they are as exact, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsl import compile_text
from dsl.api import module_of
from tests.ways import Asked, compare

# a loop over what is the same in every turn, named A or held by it
CHAIN = """
input E: [T, S]
param A: [S, S]
def step(a, e) = logsumexp(a[:, None] + A, axis=0) + e
L = logsumexp(fold(step, E[0], E[1:]))
"""
FORMS = {
    "a chain": CHAIN,
    "a batch of chains": """
input E: [T, N, S]
param A: [S, S]
def step(a, e) = logsumexp(a[:, :, None] + A, axis=1) + e
L = sum(logsumexp(fold(step, E[0], E[1:]), axis=-1))
""",
    "kept axes, the other side, a temperature": """
input E: [T, S]
param A: [S, S]
param s: [] positive
def step(a, e) = sum(logsumexp((A - a) / s + e[:, None] / 2, axis=-1, keepdims=True), axis=1)
L = sum(fold(step, E[0], E[1:]) ** 2)
""",
    "transport": """
input E: [N, M]
param A: [N, M]
def g(f) = -logsumexp((f[:, None] - A) / 0.5, axis=0)
def step(f) = -logsumexp((g(f) - A) / 0.5, axis=1)
L = sum(E * outer(fold(step, zeros(N), 5), g(zeros(N))))
""",
    "checkpoints": CHAIN.replace("E[1:])", "E[1:], checkpoint=2)"),
    "a loop in a loop": """
input E: [T, S]
param A: [S, S]
def short(a, e) = logsumexp(a[:, None] + A - e, axis=0)
def long(a, e) = fold(short, a + e, e)
L = sum(fold(long, zeros(S), E))
""",
    "all at once": """
input E: [N, S]
param A: [M, S]
L = mean(tanh(logsumexp(E[:, None, :] + A, axis=-1)))
""",
    "a number, taken away": """
input E: [N, S]
param A: [M, S]
L = sum(logsumexp(E[:, None] - 2 * A + 1, axis=2, keepdims=True) ** 2)
""",
}


def sample(form: str, least: int, dtype: str = "float64") -> dict[str, Any]:
    """Arguments of some size, and at least of so many entries where all is done at once."""
    rng = np.random.default_rng(0)
    N, M, S, T = (least, 4, 5, 6)
    shapes = {"a batch of chains": ((T, 3, S), (S, S)), "transport": ((T, S), (T, S))}
    shapes |= dict.fromkeys(("all at once", "a number, taken away"), ((N, S), (M, S)))
    E, A = shapes.get(form, ((T, S), (S, S)))
    arguments: dict[str, Any] = {"E": rng.normal(size=E).astype(dtype), "A": rng.normal(size=A).astype(dtype)}
    return arguments | ({"s": np.array(0.7, dtype)} if "temperature" in form else {})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("form", FORMS)
def test_products(form: str, dtype: str) -> None:
    asked = Asked("_by_products", FORMS[form])
    arguments = sample(form, 10000, dtype)
    compare(asked, arguments, 1e-11 if dtype == "float64" else 2e-5)
    assert asked.answers == [True]
    value, gradients = asked.module.value_and_grad(**arguments)
    assert {each.dtype for each in (value, *gradients)} == {np.dtype(dtype)}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_too_far_apart_for_exponentials(form: str) -> None:
    asked = Asked("_by_products", FORMS[form])
    arguments = sample(form, 10000)
    arguments["A"].flat[1] = 800.0
    compare(asked, arguments, 1e-12)
    assert asked.answers == [False]


def test_what_is_just_near_enough() -> None:
    asked = Asked("_by_products", CHAIN)
    arguments = sample("a chain", 0)
    arguments["A"][:] = np.random.default_rng(1).uniform(-353.0, 353.0, size=arguments["A"].shape)
    arguments["E"] *= 300.0
    compare(asked, arguments, 1e-12)
    assert asked.answers == [True]


@pytest.mark.parametrize("impossible", [-np.inf, np.nan])
def test_transitions_that_are_impossible(impossible: float) -> None:
    asked = Asked("_by_products", CHAIN)
    arguments = sample("a chain", 0)
    arguments["A"][0, 1] = arguments["A"][2, 3] = impossible
    compare(asked, arguments, 1e-12)
    assert asked.answers == [False]


def test_states_that_are_impossible() -> None:
    asked = Asked("_by_products", CHAIN)
    arguments = sample("a chain", 0)
    arguments["E"][0, 1:] = arguments["E"][3, 2] = -np.inf
    compare(asked, arguments, 1e-12)
    assert asked.answers == [True]


@pytest.mark.parametrize("everywhere", [-np.inf, np.inf])
def test_a_value_that_is_infinite(everywhere: float) -> None:
    """What the other way makes of it is not taken: its sums are not a number where those that are written are infinite."""
    asked = Asked("_by_products", CHAIN)
    arguments = sample("a chain", 0)
    arguments["E"][2] = everywhere
    with np.errstate(invalid="ignore"):  # of the derivative where the value is inf, which there is none of
        value, _ = asked.module.value_and_grad(**arguments)
    assert value == everywhere == asked.module.value(**arguments)
    assert asked.answers == [True]


def test_a_row_of_nothing_that_is_not_chosen() -> None:
    """The value is finite, and what the other way makes of its gradients is not."""
    asked = Asked("_by_products", "input E: [N, D]\ninput m: bool[N]\nparam A: [D, K]\nL = sum(where(m[:, None], logsumexp(E[:, :, None] + A, axis=1), 0))")
    rng = np.random.default_rng(0)
    arguments = {"E": rng.normal(size=(3000, 3)), "m": np.ones(3000, bool), "A": rng.normal(size=(3, 4))}
    arguments["m"][1], arguments["E"][1] = False, -np.inf
    compare(asked, arguments, 1e-12)
    assert asked.answers == [True] and np.isfinite(asked.module.value_and_grad(**arguments)[1].A).all()


def test_few_entries_are_left_as_they_are() -> None:
    asked = Asked("_by_products", FORMS["all at once"])
    compare(asked, sample("all at once", 20), 1e-12)
    assert asked.answers == []


@pytest.mark.parametrize("formula", ["logsumexp(E + A)", "logsumexp(E + E.T, axis=0)", "logsumexp(E[:, None] + A[:, :, None], axis=1)", "logsumexp(E * A[0])"])
def test_what_spares_nothing(formula: str) -> None:
    assert "_by_products" not in compile_text(f"input E: [S, S]\nparam A: [S, S]\nL = sum({formula})\n")


def test_what_a_turn_changes_is_no_matrix_of_exponentials() -> None:
    text = "param A: [S, S]\ndef step(M, k) = logsumexp(M[:, 0][:, None] + M, axis=0)[:, None] + M\nL = sum(fold(step, A, arange(3)))\n"
    assert "_by_products" not in compile_text(text)


def test_it_is_told() -> None:
    module = module_of(compile_text(CHAIN, "it"), "it")
    assert "see _by_products" in module.value_and_grad.__doc__
    assert "those of products" in module._by_products.__doc__
