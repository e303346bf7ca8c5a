"""Dimensions where a number usually stands: a shape with -1, the groups and the padding of a convolution, a divisor. What must divide is checked when
called."""

from types import ModuleType

import numpy as np
import pytest

from dsl.api import compile_text, module_of
from dsl.types import Dim


def module(text: str) -> ModuleType:
    return module_of(compile_text(text, format=False), "sizes")


@pytest.mark.parametrize("shape", ["(2, -1)", "(-1, 3)", "(N // 3, 3)", "(K, -1)"])
def test_a_reshape_of_a_dimension(shape: str) -> None:
    """Written in the shape, the quotient needs a -1 somewhere that says that the rest must divide."""
    made = module(f"param x: [N]\ninput k: [K]\nm = reshape(x, (-1, 3))\ny = reshape(x, {shape}) * 2.0\nL = sum(y ** 2) + sum(m) + sum(k)\noutput L, y\n")
    x, k = np.arange(12.0), np.ones(4)
    sizes = {"N": 12, "K": 4}
    (L, y), gradients = made.value(x, k), made.value_and_grad(x, k)[1]
    assert np.array_equal(y, 2 * x.reshape(eval(shape, sizes))) and L == (y**2).sum() + x.sum() + 4
    assert np.array_equal(gradients.x, 8 * x + 1)
    with pytest.raises(ValueError, match="3 must divide N: all entries must fit into the shape"):
        made.value(np.ones(13), k)


def test_a_size_of_zero_divides_nothing() -> None:
    made = module("param x: [N]\ninput k: [K]\nL = sum(reshape(x, (K, -1)) ** 2) + sum(k)\n")
    with pytest.raises(ValueError, match="K must divide N"):
        made.value(np.ones(3), np.ones(0))


def test_a_depthwise_convolution() -> None:
    """As many groups as channels, and the padding from the kernel's size."""
    made = module("param x: [B, C, H, W]\nparam w: [C, 1, K, K]\ny = conv2d(x, w, padding=K // 2, groups=C)\n")
    rng = np.random.default_rng(0)
    x, w, g = rng.normal(size=(2, 3, 5, 4)), rng.normal(size=(3, 1, 3, 3)), rng.normal(size=(2, 3, 5, 4))
    y, tape = made.forward(x, w)
    gradients = made.backward(tape, g)
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), axis=(2, 3))
    assert np.allclose(y, np.einsum("bchwij,cij->bchw", windows, w[:, 0]), rtol=1e-13)
    assert np.allclose(gradients.w[:, 0], np.einsum("bchwij,bchw->cij", windows, g), rtol=1e-13)
    assert np.isclose((gradients.x * x).sum(), (g * y).sum())


def test_groups_that_must_share_the_channels() -> None:
    made = module("param x: [B, 4, T]\nparam w: [F, 2, 3]\ny = conv1d(x, w, groups=2)\n")
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 4, 5)), rng.normal(size=(6, 2, 3))
    windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=2)
    expected = [np.einsum("bcti,oci->bot", windows[:, 2 * i : 2 * i + 2], w[3 * i : 3 * i + 3]) for i in range(2)]
    assert np.allclose(made.value(x, w), np.concatenate(expected, axis=1), rtol=1e-13)
    with pytest.raises(ValueError, match="2 must divide F: the groups must share the output channels"):
        made.value(x, w[:5])


# what is made of sizes, and what it is for N = 5
DIVISORS = {
    "N": 5.0,
    "(N / 10)": 0.5,
    "(N - 5.5)": -0.5,
    "(N - 9)": -4.0,
    "sqrt(N / 20)": 0.5,
    "(1 / N)": 0.2,
    "(N / 10) ** 2": 0.25,
    "tanh(0.5)": np.tanh(0.5),
    "sigmoid(-1.0)": 1 / (1 + np.e),
}


@pytest.mark.parametrize("divisor", DIVISORS)
def test_division_by_sizes(divisor: str) -> None:
    """Only the size of what is empty is taken for 1: other numbers may be smaller than that, or negative."""
    compiled = module(f"param x: [N]\nL = sum(x ** 2) / {divisor}\n")
    x = np.arange(5.0)
    L, tape = compiled.forward(x)
    fused, gradients = compiled.value_and_grad(x)
    np.testing.assert_allclose([L, fused], 30 / DIVISORS[divisor])
    for found in (gradients.x, compiled.backward(tape).x):
        np.testing.assert_allclose(found, 2 * x / DIVISORS[divisor])


def test_division_by_a_size_that_is_checked() -> None:
    """N - 1 is what a slice leaves: none, then, and not a negative number."""
    text = "param x: [N]\nL = mean((x[1:] - x[:-1]) ** 2)\n"
    assert "/ max(N - 1, 1)" in compile_text(text, "it") and "or np.nan" not in compile_text(text, "it")
    assert module(text).value_and_grad(np.ones(2))[1].x.tolist() == [0.0, 0.0]


def test_a_size_is_cancelled_as_often_as_it_is_there() -> None:
    made = module("param x: [N]\nL = sum(x ** 2) * (3 / N / N / (2 / N))\n")
    assert np.allclose(made.value_and_grad(np.arange(4.0))[1].x, 2 * np.arange(4.0) * 3 / 8)


def test_sums_of_sizes_divide_exactly_or_not_at_all() -> None:
    N, T = Dim.symbol("N"), Dim.symbol("T")
    assert (N * T - T).divided(N - 1) == T
    assert (N * N + 2 * N * T + T * T).divided(N + T) == N + T
    assert (2 * N - 2).divided(N - 1) == Dim.number(2)
    assert Dim.number(0).divided(N - 1) == Dim.number(0)
    for whole, part in ((N * T - T + 1, N - 1), (N - 1, 2 * N - 2), (N * T, N - 1), (N, Dim.number(0))):
        assert whole.divided(part) is None
