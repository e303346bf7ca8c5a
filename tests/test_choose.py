"""A choice is made once, before the products that share it, and never where a factor may be infinite."""

import re

import numpy as np
import pytest

from dsl.api import compile_text, module_of
from dsl.diagnostics import Source
from dsl.pipeline import Options, compile_source

NORMALISED = """
input X: [N, D]
param W: [D, H]
param gain, bias: [H]
L = sum(relu(batch_norm(X @ W, gain, bias)) ** 3)
"""


def test_one_choice_serves_all_gradients() -> None:
    def choices(text: str) -> int:
        return len(re.findall(r"np\.where|_masked\(", text[text.index("def backward") : text.index("def value")]))

    assert choices(compile_text(NORMALISED)) == 1
    assert choices(compile_source(Source("program.expr", NORMALISED), "program", Options(without=("choose",))).text) > 1


def test_gradients_are_the_same_without_it() -> None:
    rng = np.random.default_rng(0)
    given = rng.normal(size=(7, 3)), rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4)
    plain = module_of(compile_source(Source("program.expr", NORMALISED), "program", Options(without=("choose",))).text, "plain")
    value, gradients = module_of(compile_text(NORMALISED), "program").value_and_grad(*given)
    expected, others = plain.value_and_grad(*given)
    assert value == expected
    for found, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("factor", ["log(x)", "1 / x", "sqrt(x)", "exp(x)", "x ** -2"])
def test_what_is_not_taken_stays_0(factor: str) -> None:
    """Beside a choice that is made anyway (a's), a product whose factor is infinite or not a number where nothing is taken."""
    module = module_of(compile_text(f"param x, a: [N]\nL = sum(where(x > 0, a * {factor} + a, 0))"), "dead")
    with np.errstate(all="ignore"):
        _, gradients = module.value_and_grad(np.array([-1.0, 0.0, 2.0, -1e4]), np.ones(4))
    assert np.isfinite(gradients.x).all() and np.isfinite(gradients.a).all()
    assert (gradients.x[[0, 1, 3]] == 0).all() and (gradients.a[[0, 1, 3]] == 0).all()
