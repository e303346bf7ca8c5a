"""What an index is known to name: where no entry is named twice, values are put and not added."""

from __future__ import annotations

import pytest

from dsl.api import compile_text

HEAD = "input y: int[N] in 0:K\ninput z: int[N, M] in 0:K\nparam x: [N, K]\n"


def module(expression: str) -> str:
    """The generated text of a program whose value is a sum of squares."""
    return compile_text(f"{HEAD}L = sum(({expression}) ** 2)\n", "case")


@pytest.mark.parametrize(
    "expression",
    [
        "x[arange(N), y]",
        "x[arange(N)[:, None], z[:, :1]]",
        "take_along_axis(x, z[:, :1], axis=1)",
        "take_along_axis(x, z[:, 0].reshape(N, 1), axis=1)",
        "sort(x, axis=1)",
        "sort(x, axis=0)",
        "sort(x, axis=0)[-1]",
        "take_along_axis(x, argsort(x, axis=1)[:, -2:], axis=1)",
        "(x.T @ x)[tril_indices(K, -1)[0], tril_indices(K, -1)[1]]",
        "(x.T @ x)[triu_indices(K)[1], triu_indices(K)[0]]",
        "x[arange(1, 3), arange(0, 2)]",
    ],
)
def test_entries_named_once_are_put(expression: str) -> None:
    text = module(expression)
    assert "_scatter_add" not in text and "_add_rows" not in text


@pytest.mark.parametrize(
    "expression",
    [
        "x[y]",
        "x[:, y]",
        "x[arange(N)[:, None], z]",
        "x[arange(-3, 3), 0]",
        "take_along_axis(x, z, axis=1)",
        "take_along_axis(x, argsort(x, axis=0), axis=1)",
        "x[y, argsort(x[0])[y]]",
        "(x.T @ x)[tril_indices(K, -1)[0], tril_indices(K, -1)[0]]",
        "(x.T @ x)[tril_indices(K, -1)[0], triu_indices(K, 1)[1]]",
        "x[arange(3)[:, None], arange(3)[:, None] + zeros((3, 2), dtype=int)]",
    ],
)
def test_entries_that_may_be_named_twice_are_added(expression: str) -> None:
    text = module(expression)
    assert "_scatter_add" in text or "_add_rows" in text


def test_an_index_of_rows_is_taken_and_added_by_rows() -> None:
    for expression in ("x[y]", "x[z]", "take(x, y, axis=0)"):
        text = module(expression)
        assert "_rows(x, " in text and "_add_rows((N, K), " in text
