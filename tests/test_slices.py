"""Slices of symbolic axes: what NumPy gives, a gradient that fits, and a refusal at the head of the function where a size is too small."""

import numpy as np
import pytest

from dsl.api import compile_text, module_of

SIZES = {"N": 9, "K": 2, "M": 6}
SLICES = [
    *("x[:N + 1]", "x[N + 2:]", "x[N + 3:N + 5]", "x[7:N + 2:3]", "x[N - 2:N - 5]", "x[3:1]", "x[N:]"),  # cut off, or empty
    *("x[:N - 5]", "x[K:M]", "x[K:N - 1:2]", "x[:-2]", "x[-3:]", "x[:N:2]"),
    *("x[-K:]", "x[:-M]", "x[K:-K]", "x[-M:-K]", "x[-(M // 2):]", "x[-K::-1]", "x[-1:-M:-2]", "x[-2 * K:-1]"),
    *("x[M:K:-1]", "x[5::-1]", "x[:5:-1]", "x[N - 1::-1]", "x[N - 2:1:-2]", "x[-1:-4:-1]", "x[::-3]"),
]


@pytest.mark.parametrize("text", SLICES)
def test_a_slice_is_numpys(text: str) -> None:
    x = np.arange(1.0, 10.0)
    source = f"param x: [N]\ninput y: [K]\ninput z: [M]\npart = {text}\nL = sum(part ** 2) + sum(ones(part.shape))\noutput L, part\n"
    module = module_of(compile_text(source, format=False), "slices")
    (loss, part), tape = module.forward(x, np.ones(SIZES["K"]), np.ones(SIZES["M"]))
    expected = eval(text, {"x": x, **SIZES})
    marked = np.zeros(9)
    marked[eval(text, {"x": np.arange(9), **SIZES})] = 1
    assert np.array_equal(part, expected)
    assert loss == (expected**2).sum() + expected.size
    assert np.array_equal(module.backward(tape).x, 2 * x * marked)


@pytest.mark.parametrize("text", ["x[:N - 5]", "x[K:M]", "x[5::-1]", "x[:5:-1]", "x[-6:]"])
def test_a_slice_that_does_not_fit_is_refused(text: str) -> None:
    module = module_of(compile_text(f"param x: [N]\ninput y: [K]\ninput z: [M]\nL = sum({text}) + sum(y) + sum(z)", format=False), "slices")
    with pytest.raises(ValueError, match="the slice must fit"):
        module.forward(np.ones(4), np.ones(4), np.ones(3))


def test_none_from_the_end_is_no_slice() -> None:
    """NumPy takes x[-0:] for all of x."""
    module = module_of(compile_text("param x: [N]\ninput y: [K]\nL = sum(x[-K:]) + sum(y)", format=False), "slices")
    with pytest.raises(ValueError, match="K must be at least 1: a slice to or from -K counts from the end"):
        module.forward(np.ones(4), np.ones(0))


def test_what_is_set_and_split_from_the_end() -> None:
    text = "param x: [N]\ninput y: [K]\na, b = split(x.at[-K:].add(y), [-K])\nL = sum(a ** 2) + sum(b ** 3)"
    value, gradients = module_of(compile_text(text, format=False), "slices").value_and_grad(np.arange(1.0, 6.0), np.ones(2))
    assert value == 1 + 4 + 9 + 125 + 216
    assert gradients.x.tolist() == [2, 4, 6, 75, 108]


@pytest.mark.parametrize(("size", "pairs"), [("2 * N", "x[::2] * x[1::2]"), ("4 * N", "x[::4] * x[3::4]"), ("2 * N + 1", "x[::2][1:] * x[1::2]")])
def test_every_other_entry_of_an_even_number(size: str, pairs: str) -> None:
    x = np.arange(9.0 if "+" in size else 8.0)
    module = module_of(compile_text(f"param x: [{size}]\nL = sum({pairs})", format=False), "slices")
    assert module.value_and_grad(x)[0] == eval(pairs, {"x": x}).sum()


@pytest.mark.parametrize(
    ("joined", "whole"),
    [
        ("concatenate([x[:2], x[2:]])", "x"),
        ("concatenate([x[0][None], x[1:]])", "x"),
        ("concatenate([x[:-1], x[-1][None]])", "x"),
        ("concatenate([x[1:3], x[3:4], x[4:]])", "x[1:]"),
        ("concatenate([x[:, :1], x[:, 1][:, None], x[:, 2:]], axis=1)", "x"),
        ("concatenate([x[:-2], x[-2:]])", "x"),
    ],
)
def test_slices_joined_again_are_one(joined: str, whole: str) -> None:
    found, expected = (body(f"param x: [N, D]\nL = sum(sin({each}))\n") for each in (joined, whole))
    assert found == expected


@pytest.mark.parametrize(
    "joined",
    [
        *("concatenate([x[1:], x[:1]])", "concatenate([x[:2], x[3:]])", "concatenate([x[-1][None], x[:-1]])"),
        *("concatenate([x[:2, 0], x[2:, 1]])", "concatenate([x[:, None, 0], x[:, None, 1]])"),
    ],
)
def test_slices_that_do_not_follow_each_other_are_joined(joined: str) -> None:
    assert "np.concatenate" in body(f"param x: [N, D]\nL = sum(sin({joined}))\n")


def body(text: str) -> str:
    """The statements of a module's value."""
    lines = compile_text(text).split("def value(")[1].split("def value_and_grad")[0].split("\n")
    return "\n".join(line for line in lines if "#" not in line and "raise" not in line)


@pytest.mark.parametrize("taken", ["x[0]", "x[i]", "x[1:]", "x[::2]", "x[1:] - x[:-1]", "x[:, 1]", "x[arange(N), j]"])
@pytest.mark.parametrize("axis", ["0", "1", "(0, 1)"])
@pytest.mark.parametrize("sign", ["+", "-"])
def test_a_piece_beside_what_is_the_same_along_an_axis(taken: str, axis: str, sign: str) -> None:
    """The gradient of a mean is smaller than the array, and is no place to put a row's."""
    source = f"input i: int[] in 0:N\ninput j: int[N] in 0:M\nparam x: [N, M]\nL = sum(mean(x, axis={axis}) ** 2) {sign} sum({taken})\n"
    module = module_of(compile_text(source, format=False), "pieces")
    arguments = 2, np.array([1, 0, 2, 1]), np.arange(12.0).reshape(4, 3)
    value, gradients = module.value_and_grad(*arguments)
    outcome, tape = module.forward(*arguments)
    assert value == outcome and gradients.x.shape == (4, 3)
    np.testing.assert_allclose(gradients.x, module.backward(tape).x, rtol=1e-13)


def test_a_piece_leaves_the_order_of_a_sum_that_is_exact_in_it() -> None:
    source = "param w: [N]\nparam b: []\ninput t: [N]\ninput origin: []\nL = sum((t - origin + w).at[0].add(b) ** 2)\n"
    module = module_of(compile_text(source, format=False), "pieces")
    arguments = np.array([0.001, 0.002]), 0.5, np.array([1.7e9, 1.7e9 + 0.25]), 1.7e9
    value, gradients = module.value_and_grad(*arguments)
    np.testing.assert_allclose(value, 0.501**2 + 0.252**2, rtol=1e-14)
    np.testing.assert_allclose(gradients.w, [1.002, 0.504], rtol=1e-14)


def test_a_difference_that_a_rule_states_is_not_multiplied_out() -> None:
    source = """
param x: [N, D]
input m, s, t, q: [N]
rule half(x, m) -> out
    value  x ** 2 / 2 - x * m
    d/dx   x - m
    d/dm   -x
L = sum(s[:, None] * half(x, m[:, None])) + sum(t[:, None] * x) + sum(q * sum(x, axis=1))
"""
    module = module_of(compile_text(source, format=False), "pieces")
    x, (t, q) = 1e12 + np.arange(12.0).reshape(4, 3) / 8, np.random.default_rng(0).normal(size=(2, 4))
    _, gradients = module.value_and_grad(x, np.full(4, 1e12), np.ones(4), t, q)
    np.testing.assert_allclose(gradients.x, np.arange(12.0).reshape(4, 3) / 8 + (t + q)[:, None], rtol=1e-13)
