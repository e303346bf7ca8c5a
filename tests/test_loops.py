"""Loops against the same loop in Python, their gradients against central differences, and what they refuse."""

import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dsl
from dsl.api import module_of
from dsl.calculus.batching import LEADING

RNG = np.random.default_rng(1)
X, Z, W, H0 = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 4)), RNG.normal(size=(3, 4)) / 2, RNG.normal(size=4)
HEAD = "param X: [T, D]\nparam Z: [T, K]\nparam W: [D, K]\nparam h0: [K]\ninput n: int[]\n"


def turns(step: Callable[..., Any], carry: Any, *sequences: Any) -> list[Any]:
    """The carries after every turn."""
    made = []
    for elements in zip(*sequences, strict=True):
        carry = step(carry, *elements)
        made.append(carry)
    return made


def tanh_step(h: Any, x: Any) -> Any:
    return np.tanh(x @ W + 0.5 * h)


def doubled(carry: Any) -> Any:
    return 2 * carry


PROGRAMS = {
    "fold": ("def f(h, x) = tanh(x @ W + 0.5 * h)\ny = fold(f, h0, X)", lambda: turns(tanh_step, H0, X)[-1]),
    "scan": ("def f(h, x) = tanh(x @ W + 0.5 * h)\ny = scan(f, h0, X)", lambda: turns(tanh_step, H0, X)),
    "of no captured name": ("def f(h, z) = h * cos(z)\ny = scan(f, h0, Z)", lambda: turns(lambda h, z: h * np.cos(z), H0, Z)),
    "several sequences": (
        "def f(h, (x, z)) = tanh(x @ W) * z + h / 2\ny = fold(f, h0, (X, Z))",
        lambda: turns(lambda h, x, z: np.tanh(x @ W) * z + h / 2, H0, X, Z)[-1],
    ),
    "tuples of carries": (
        "def f((a, b), x):\n    c = a * b + x @ W\n    return c, a\ny, before = fold(f, (h0, ones(K)), X)\nz = sum(before)",
        lambda: turns(lambda s, x: (s[0] * s[1] + x @ W, s[0]), (H0, np.ones(4)), X)[-1][0],
    ),
    "an output of every turn": (
        "def f((h, last), x):\n    g = sin(h + x @ W)\n    return g, g ** 2\nh, y = scan(f, (h0, zeros(K)), X)",
        lambda: [np.square(each) for each in turns(lambda h, x: np.sin(h + x @ W), H0, X)],
    ),
    "a fixed count": ("def f(h) = h + 0.1 * sin(h)\ny = fold(f, h0, 4)", lambda: turns(lambda h, _: h + 0.1 * np.sin(h), H0, range(4))[-1]),
    "a count that is a dimension": ("def f(h) = h * 0.9\ny = fold(f, h0, T)", lambda: H0 * 0.9**5),
    "a number as carry": ("def f(s, z) = s + sum(z ** 2)\ny = fold(f, 0, Z)", lambda: np.sum(Z**2)),
    "a function of the language": ("y = fold(logaddexp, 0.0, Z[:, 0])", lambda: turns(np.logaddexp, 0.0, Z[:, 0])[-1]),
    "within another": (
        "def g(s, w) = s + sin(w) * sum(h0)\ndef f(v, z) = 0.5 * v + fold(g, v, z)\ny = fold(f, 0.0, Z)",
        lambda: turns(lambda v, z: 0.5 * v + turns(lambda s, w: s + np.sin(w) * H0.sum(), v, z)[-1], 0.0, Z)[-1],
    ),
    "a function called twice in a turn": (
        "def g(h):\n    s = sin(h)\n    return s * s * h\ndef f(h, z) = z + g(h / 2 + g(h)) / 2\ny = fold(f, h0, Z)",
        lambda: turns(lambda h, z: z + (lambda v: np.sin(v) ** 2 * v)(h / 2 + np.sin(h) ** 2 * h) / 2, H0, Z)[-1],
    ),
    "a part of a sequence": ("def f(h, z) = sin(h * z)\ny = scan(f, h0, Z[1:])", lambda: turns(lambda h, z: np.sin(h * z), H0, Z[1:])),
    "within a scan": (
        "def g(s, w) = s * w\ndef f(h, z) = sum(scan(g, h, Z), axis=0) / 9 + z\ny = scan(f, h0, Z)",
        lambda: turns(lambda h, z: np.sum(turns(lambda s, w: s * w, h, Z), axis=0) / 9 + z, H0, Z),
    ),
    "whose result no derivative reads": ("def f(h, z) = h + z\ny = sum(scan(f, h0, Z)) ** 2", None),
    "within a function": ("def f(h, z) = h * cos(z)\ndef run(a, b) = fold(f, a, b)\ny = run(h0, Z) + run(h0, 2 * Z)", None),
    "carries that read each other": (
        "def f((a, b), z):\n    c = a * z\n    return b + c, a - b * c\ny, w = fold(f, (h0, h0), Z)\nv = sum(w ** 2)",
        lambda: turns(lambda s, z: (s[1] + s[0] * z, s[0] - s[1] * s[0] * z), (H0, H0), Z)[-1][0],
    ),
    "within another, from its carry": (
        "def g(s, w) = s + sin(s * w)\ndef f((v, u), z) = (fold(g, 0.5 * v + u, z), u * 0.9)\ny, w = fold(f, (0.0, 1.0), Z)\nv = w ** 2",
        None,
    ),
    "within another, from its carry alone": ("def g(s, w) = s + sin(s * w)\ndef f(v, z) = fold(g, 0.5 * v, z)\ny = fold(f, 1.0, Z)", None),
    "within another, of which a carry is read twice": (
        "def g(s, w) = s + sin(s * w)\ndef f((v, u), z):\n    return fold(g, 0.5 * v, z), u * v\ny, w = fold(f, (1.0, 1.0), Z)\nv = w ** 2",
        None,
    ),
    "of its own result": ("def f(h, z) = h * cos(z)\nh = fold(f, h0, Z)\ny = fold(f, h, Z)", None),
    "of sequences made before": ("def f(h, z) = h + tanh(z * h)\ny = fold(f, h0, flip(Z, 0) @ outer(h0, h0))", None),
}


def compiled(program: str) -> Any:
    return module_of(dsl.compile_text(f"{HEAD}{program}\nL = sum(y ** 2)\noutput L, y"), "program")


@pytest.mark.parametrize("name", PROGRAMS)
def test_value(name: str) -> None:
    program, expected = PROGRAMS[name]
    if expected is not None:
        np.testing.assert_allclose(compiled(program).value(X, Z, W, H0, 2).y, expected(), rtol=1e-12)


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradient(name: str) -> None:
    module = compiled(PROGRAMS[name][0])
    arguments = [X, Z, W, H0]
    value, fused = module.value_and_grad(*arguments, 2)
    outputs, tape = module.forward(*arguments, 2)
    pair = module.backward(tape)
    np.testing.assert_allclose(value, outputs.L, rtol=1e-14)
    for i, each in enumerate(arguments):
        direction = RNG.normal(size=each.shape)
        ends = [module.value(*arguments[:i], each + s * direction, *arguments[i + 1 :], 2).L for s in (1e-6, -1e-6)]
        expected = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(np.sum(pair[i] * direction), expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(fused[i], pair[i], rtol=1e-12, atol=1e-14)


def test_no_turns_at_all() -> None:
    module = compiled(PROGRAMS["fold"][0])
    value, gradients = module.value_and_grad(X[:0], Z[:0], W, H0, 2)
    np.testing.assert_allclose(value, np.sum(H0**2), rtol=1e-15)
    np.testing.assert_array_equal(gradients.h0, 2 * H0)
    np.testing.assert_array_equal(gradients.W, np.zeros_like(W))


@pytest.mark.parametrize("turns", [0, 2])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_number_is_numpys_and_a_gradient_its_own(turns: int, kind: Any) -> None:
    """Also without a turn, where the result is what the loop began with."""
    program = """
input x: [T, D]
param h0: [D]
param s0, a: []
def step((h, s, k, l), v) = h + v, where(v[0] > 0, a * s, s), a * k, l + a
h, s, k, l = fold(step, (h0, s0, 1.0, 0.0), x)
output l, h, s, k
"""
    module = module_of(dsl.compile_text(program), "program")
    arguments = (np.ones((turns, 3), kind), np.ones(3, kind), kind(2), kind(0.5))
    outputs, tape = module.forward(*arguments)
    cotangent = np.ones(3, kind)
    gradients, others = module.backward(tape, 1.0, cotangent, 1.0, 1.0), module.value_and_grad(*arguments)[1]
    for found in (outputs, module.value(*arguments)):
        assert [type(each) for each in (found.l, found.s, found.k)] == [kind] * 3
    for each in (gradients, others):
        assert type(each.s0) is kind and type(each.a) is kind and each.h0.flags.writeable
    assert not np.shares_memory(gradients.h0, cotangent)


def test_float32_stays() -> None:
    module = compiled(PROGRAMS["tuples of carries"][0])
    value, gradients = module.value_and_grad(*(each.astype(np.float32) for each in (X, Z, W, H0)), 2)
    assert {np.asarray(each).dtype for each in (value, *gradients)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("formula", ["sum(roll(x, 3) * 0.3)", "sum(flip(x) * 0.3)", "sum(x.ravel() * 0.3)"])
def test_a_number_that_is_moved_stays_float32(formula: str) -> None:
    module = module_of(dsl.compile_text(f"param x: []\nL = {formula}\n"), "program")
    value, gradients = module.value_and_grad(np.float32(0.3))
    assert value.dtype == gradients.x.dtype == np.float32


def test_second_derivatives() -> None:
    text = f"{HEAD}def f(h, x) = tanh(x @ W + 0.5 * h)\nE = sum(fold(f, h0, X) ** 2)\ng = grad(E, h0)\nv = hvp(E, h0, g)\noutput g, v"
    module = module_of(dsl.compile_text(text), "program")
    g, v = module.value(X, Z, W, H0, 2)
    up, down = (module.value(X, Z, W, H0 + s * g, 2).g for s in (1e-6, -1e-6))
    np.testing.assert_allclose(v, (up - down) / 2e-6, rtol=1e-6)


def test_what_is_read_after_a_loop_keeps_its_name() -> None:
    """Pieces that are put together after a loop are of what stands before it."""
    text = "param x: [N, K]\ndef f(h) = 0.3 * sigmoid(h ** 2)\nv = scan(f, x, 2)\nL = jvp(tanh(sum(v)), x, x)\n"
    module = module_of(dsl.compile_text(text), "program")
    x = np.random.default_rng(0).normal(size=(3, 2))
    np.testing.assert_allclose(module.value_and_grad(x)[1].x, module.backward(module.forward(x)[1]).x, rtol=1e-12)


# with and without `checkpoint=…` in the place of the braces
CHECKPOINTED = {
    "fold": "def f(h, x) = tanh(x @ W + 0.5 * h)\ny = fold(f, h0, X{})",
    "scan": "def f(h, x) = tanh(x @ W + 0.5 * h)\ny = scan(f, h0, X{})",
    "several sequences": "def f(h, (x, z)) = tanh(x @ W) * z + h / 2\ny = fold(f, h0, (X, Z){})",
    "tuples": "def f((a, b), x):\n    c = a * b + x @ W\n    return c, a\ny, before = scan(f, (h0, ones(K)), X{})\nz = sum(before)",
    "a fixed count": "def f(h) = h + 0.1 * sin(h)\ny = fold(f, h0, 7{})",
    "a count that is a dimension": "def f(h) = h * cos(h)\ny = scan(f, h0, T{})",
    "an integer among the carries": "def f((i, h), z) = (i + 1, h * cos(z) / (i + 1))\ni, y = fold(f, (0, h0), Z{})",
    "a part of a sequence": "def f(h, z) = sin(h * z)\ny = scan(f, h0, flip(Z, 0)[:-1]{})",
    "within another": "def g(s, w) = s + sin(w) * sum(h0)\ndef f(v, z) = 0.5 * v + fold(g, v, z{})\ny = fold(f, 0.0, Z)",
    "around another": "def g(s, w) = s + sin(w) * sum(h0)\ndef f(v, z) = 0.5 * v + fold(g, v, z)\ny = fold(f, 0.0, Z{})",
    "each in each": "def g(s, w) = s + sin(w) * sum(h0)\ndef f(v, z) = 0.5 * v + fold(g, v, z{0})\ny = fold(f, 0.0, Z{0})",
    "of its own result": "def f(h, z) = h * cos(z)\nh = fold(f, h0, Z{0})\ny = fold(f, h, Z{0})",
    "a second derivative": "def f(s, z) = s + sin(s * sum(z * h0))\nE = fold(f, 1.0, Z{})\ny = grad(E, h0)",
}


@pytest.mark.parametrize("every", ["1", "2", "4", "5", "9", "D"])
@pytest.mark.parametrize("name", CHECKPOINTED)
def test_checkpoints_change_nothing(name: str, every: str) -> None:
    plain, kept = (compiled(CHECKPOINTED[name].format(text)) for text in ("", f", checkpoint={every}"))
    for turns in (5, 1, 0):
        arguments = X[:turns], Z[:turns], W, H0, 2
        if turns == 0 and "[:-1]" in CHECKPOINTED[name]:
            continue
        value, gradients = plain.value_and_grad(*arguments)
        outputs, tape = kept.forward(*arguments)
        np.testing.assert_allclose(outputs.L, value, rtol=1e-14)
        for found in (kept.value_and_grad(*arguments)[1], kept.backward(tape)):
            for mine, theirs in zip(found, gradients, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-14)


def test_checkpoints_save_memory() -> None:
    """4096 carries of 8 kB take 34 MB; 64 of them, and the 64 turns between two, take 1 MB with what is on the way."""
    text = "param x: [K]\ndef f(x) = x + 0.01 * sin(x) * cos(x)\ny = fold(f, x, 4096{})\nL = sum(y ** 2)"
    peaks = []
    for every in ("", ", checkpoint=64"):
        module = module_of(dsl.compile_text(text.format(every)), "program")
        tracemalloc.start()
        module.value_and_grad(np.ones(1024))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] > 4096 * 8192
    assert peaks[1] < 5 * (64 + 64) * 8192


def test_checkpoint_is_a_number_of_turns() -> None:
    module = module_of(dsl.compile_text(f"{HEAD}def f(h, x) = h\nL = sum(fold(f, h0, X, checkpoint=T - 4))"), "program")
    assert module.value(X, Z, W, H0, 2) == np.sum(H0)
    with pytest.raises(ValueError, match="`checkpoint` of `fold` is a number of turns"):
        module.value(X[:2], Z[:2], W, H0, 2)


@pytest.mark.parametrize(
    ("program", "code", "says"),
    [
        ("def f(h, x) = outer(h, h)\ny = fold(f, h0, X)", "E0305", "may not change shape"),
        ("def f(h, x) = h, h\ny = fold(f, h0, X)", "E0305", "1 carries, and its function gives 2"),
        ("y = fold(h0, h0, X)", "E0204", "needs a function first"),
        ("def f(h, x) = h\ny = fold(f, h0, sum(X))", "E0302", "a count"),
        ("def f(h, (x, z)) = h\ny = fold(f, h0, (X, W))", "E0301", "differ in length"),
        ("def f(h, x, z) = h\ny = fold(f, h0, X)", "E0204", "needs `z`"),
        ("def f(h, x) = h\ny = fold(f, h0)", "E0204", "needs `sequences`"),
        ("def f(h, x) = h\ny = fold(f, h0, X, checkpoint=0)", "E0305", "at least 1, not 0"),
        ("def f(h, x) = h\ny = scan(f, h0, X, checkpoint=2.5)", "E0204", "must be a whole number"),
        ("def f(h, x) = h\ny = scan(f, h0, X, checkpoint=True)", "E0204", "must be a whole number"),
        ("def f(h, x) = h\ny = fold(f, h0, X, checkpoint=n)", "E0204", "known when the program is compiled"),
        ("def f(x) = x\ny = map(f, X, checkpoint=2)", "E0204", "no argument `checkpoint`"),
    ],
)
def test_what_is_refused(program: str, code: str, says: str) -> None:
    with pytest.raises(dsl.DslError) as caught:
        dsl.compile_text(HEAD + program)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code.name == code
    assert says in f"{diagnostic.message} {diagnostic.label} {diagnostic.help}"


def lines_of(program: str, function: str, inside: bool) -> str:
    """The lines of a generated function that stand in a loop, or those that do not, without comments."""
    lines = dsl.compile_text(program).partition(f"def {function}(")[2].partition("\ndef ")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith("        ") == inside and not line.lstrip().startswith("#"))


RECURRENT = f"{HEAD}param V: [K, K]\ndef f(h, x) = tanh(x @ W + h @ V + h0)\ny = fold(f, zeros(K), X)\nL = sum(y ** 2)"


def test_the_product_of_the_elements_stands_before_the_loop() -> None:
    assert "X @ W + h0" in lines_of(RECURRENT, "forward", False)
    assert lines_of(RECURRENT, "forward", True).count("@") == 1


def test_the_products_of_a_gradient_stand_after_the_loop() -> None:
    after, within = (lines_of(RECURRENT, "backward", inside) for inside in (False, True))
    assert "dL_dV = hs[:T].T @ " in after
    assert "dL_dW = X.T @ " in after
    assert "+=" not in within
    assert within.count("@") == 1


def test_what_is_the_same_in_every_turn_is_multiplied_before_the_loop() -> None:
    text = "input p: [N]\nparam a: [N]\nparam h0: [N]\ndef f(h) = sin(exp(a) * h / p)\nL = sum(fold(f, h0, 9))"
    assert "np.exp(a) / p" in lines_of(text, "value", False) and lines_of(text, "value", True) == "        h = np.sin(ratio * h)"
    module = module_of(dsl.compile_text(text), "program")
    p, a, h = np.array([2.0, 3.0]), np.array([0.5, -0.5]), np.array([1.0, 2.0])
    expected = h
    for _ in range(9):
        expected = np.sin(np.exp(a) * expected / p)
    np.testing.assert_allclose(module.value(p, a, h), expected.sum(), rtol=1e-14)


def test_products_in_a_turn_stand_in_the_order_that_costs_least() -> None:
    """An outer product times a vector is never formed, and what is left of it stands before the loop."""
    text = f"{HEAD}param v: [D]\ndef f(h, x) = tanh(outer(h, x) @ v)\nL = sum(fold(f, h0, X))"
    for function in ("forward", "backward", "value", "value_and_grad"):
        assert "outer" not in lines_of(text, function, True) and "[:, None]" not in lines_of(text, function, True)
    assert "X @ v" in lines_of(text, "value", False)
    inner = "input y: [N]\nparam h: [N]\ndef f(h) = sin(h) * sum(h * y)\nL = sum(fold(f, h, 9))"
    assert "h.dot(y)" in lines_of(inner, "value_and_grad", True).replace("hs[t]", "h")


def test_products_stand_after_the_loop_where_no_more_is_kept_for_them_than_forward_keeps() -> None:
    text = "param A: [N, N]\nparam B: [N, N]\nparam P: [N, N]\ndef f(P) = tanh(A @ P @ B)\nP1 = fold(f, P, 1000)\nL = sum(P1)"
    kept = [lines_of(text, function, False).count("np.empty((100") for function in ("forward", "backward")]
    assert kept == [2, 2] and "+=" not in lines_of(text, "backward", True)
    # what a turn gives out has no history here: each matrix would be kept for the sum alone
    text = "param A: [N, N]\nparam P: [N, N]\ninput x: [T]\ndef f(P, x) = P + x * (A @ P)\nP1 = fold(f, P, x)\nL = sum(P1)"
    kept = [lines_of(text, function, False).count("np.empty((T") for function in ("forward", "backward")]
    assert kept[1] <= kept[0]


def test_sums_of_sums_over_sequences_are_no_loops() -> None:
    text = f"{HEAD}def f(s, x) = s + x @ W\nL = sum(fold(f, h0, X) ** 2)"
    assert not any(" in range(" in lines_of(text, function, False) for function in ("forward", "backward", "value", "value_and_grad"))
    module = module_of(dsl.compile_text(text), "program")
    np.testing.assert_allclose(module.value(X, Z, W, H0, 2), np.sum((H0 + (X @ W).sum(axis=0)) ** 2))


def test_a_loop_that_solves_runs_once_in_each_function() -> None:
    """Forward's loop and its like in the derivative are one, also where a gain is a transposed solution."""
    text = dsl.compile_text("""
input y: [T, D]
param A: [D, D]
def f((m, P), o):
    Q = A @ P @ A.T
    K = Q @ inv(Q @ A + eye(D))
    return A @ m + K @ o, Q - K @ Q
ms, Ps = scan(f, (zeros(D), eye(D)), y)
L = sum(ms ** 2)
""")
    assert len(re.findall(r"for t in", text)) == 5, text


def test_what_does_not_act_on_the_result_has_no_cotangent() -> None:
    """A part of the carry that nobody reads is neither computed nor differentiated."""
    text = dsl.compile_text("""
input x: [T, D]
param A: [D, D]
def f((m, P), v):
    return tanh(A @ m) + v, A @ P @ A.T + outer(m, v)
ms, Ps = scan(f, (zeros(D), eye(D)), x)
L = sum(ms ** 2)
""")
    assert not re.search(r"(?m)^[^#\n]*\bd?Ps?\b", text[text.index("def backward") :]), text


def test_a_loop_whose_turn_solves_stands_in_a_loop_in_blocks() -> None:
    """Of the inner loop in backward's turn, its results are given out, and not the loop."""
    text = """
param y, u: [N, D]
def solved(h) = sin(solve_triangular(cholesky(exp(-sum((h[:, None, :] - h) ** 2, axis=-1)) + eye(N)), y, lower=True))
def twice(a) = fold(solved, a, 2)
v = scan(twice, u, 3, checkpoint=2)
L = sum(v)
"""
    module = module_of(dsl.compile_text(text), "program")
    y, u = RNG.normal(size=(2, 4, 3))
    gradients = module.value_and_grad(y, u)[1]
    up, down = (module.value(y, u + step * y) for step in (1e-6, -1e-6))
    np.testing.assert_allclose((gradients.u * y).sum(), (up - down) / 2e-6, rtol=1e-6)


def test_parts_side_by_side_are_joined() -> None:
    text = "param x: [T, 3 * K]\ndef f(h, x):\n    a, b, c = split(x, 3)\n    return tanh(a * h + b) * c\nL = sum(fold(f, ones(K), x))"
    backward = lines_of(text, "backward", True)
    assert "np.concatenate((" in backward
    assert "_scatter" not in backward


def test_a_part_of_a_large_carry_is_kept_without_it() -> None:
    text = "param x: [N]\ndef f(x) = roll(x, 1) * 0.5 + sin(x[0] * x[1])\nL = sum(fold(f, x, 100) ** 2)"
    assert ".shape" not in lines_of(text, "forward", True)
    assert "xs" not in lines_of(text, "forward", True)


SQUARE = "(outer(x, x) + 3 * eye(x.shape[0]))"
# what leaves leading axes alone, each in a formula of a vector
ROWWISE = {
    **{name: f"{name}(x)" for name in "sum mean prod max min logsumexp norm var std softmax log_softmax cumsum cumprod sort flip".split()},
    **{name: f"where({name}(x > 0), x, 2 * x)" for name in ("any", "all")},
    **{name: f"x * {name}(x)" for name in ("argmax", "argmin", "argsort")},
    **{name: f"{name}(outer(x, x))" for name in ("tril", "triu")},
    **{name: f"{name}({SQUARE})" for name in ("inv", "det", "cholesky", "pinv")},
    "repeat": "repeat(x, 2)",
    "diagonal": "diag(outer(x, x))",
    "concatenate": "concatenate([x, 2 * x])",
    "stack": "stack([x, sin(x)])",
    "take_along_axis": "take_along_axis(outer(x, x), argsort(outer(x, x), axis=1)[:, :2], axis=1)",
    "polygamma": "polygamma(1, x ** 2 + 1)",
    "stop_gradient": "stop_gradient(x) * x",
    "windows": "max_pool1d(x[None, None], 2)",
    "slogdet": f"slogdet({SQUARE})[1]",
    "eigh": f"eigh({SQUARE})[0]",
    "svd": f"svd({SQUARE}, full_matrices=False)[1]",
    "qr": f"abs(qr({SQUARE})[1])",
}
# which only derivatives have
OF_DERIVATIVES = {"prod_others", "inv_upper", "cofactor", "nonzero", "reciprocal_gaps", "unwindows"}


def test_every_operation_that_takes_leading_axes_is_tried() -> None:
    assert ROWWISE.keys() | OF_DERIVATIVES == LEADING


@pytest.mark.parametrize("name", ROWWISE)
def test_map_of_what_leaves_leading_axes_alone_is_no_loop(name: str) -> None:
    text = dsl.compile_text(f"param X: [N, 3]\ndef f(x) = {ROWWISE[name]}\nY = map(f, X)\nL = sum(Y)\noutput L, Y\n")
    functions = text[text.index("def forward(") :]
    assert not re.search(r"\n    for ", functions), functions
    alone = module_of(dsl.compile_text(f"param x: [3]\nY = {ROWWISE[name]}\n"), "program")
    rows = RNG.normal(size=(4, 3))
    np.testing.assert_allclose(module_of(text, "program").value(rows).Y, [alone.value(row) for row in rows], rtol=1e-12)


MAPPED = {
    "its largest entry": ("x[argmax(x)]", lambda x, w: x[np.argmax(x)]),
    "what is in order": ("x[argsort(-x)][:2]", lambda x, w: np.sort(x)[::-1][:2]),
    "another's entries": ("w[argsort(x)]", lambda x, w: w[np.argsort(x)]),
    "rows of a matrix": ("outer(w, x)[argsort(x)]", lambda x, w: np.outer(w, x)[np.argsort(x)]),
    "an entry of a matrix": ("outer(x, w)[argmax(x), argmin(w)]", lambda x, w: np.outer(x, w)[np.argmax(x), np.argmin(w)]),
    "an update": ("x.at[argmin(x)].set(w[0])", lambda x, w: np.where(x == x.min(), w[0], x)),
    "an update by the element": ("w.at[argmin(x)].add(sum(x))", lambda x, w: w + np.where(x == x.min(), x.sum(), 0)),
    "a roll": ("roll(outer(x, w), 2)", lambda x, w: np.roll(np.outer(x, w), 2)),
    "a convolution": ("convolve(x, w, mode='same')", lambda x, w: np.convolve(x, w, mode="same")),
}


@pytest.mark.parametrize("name", MAPPED)
def test_map_is_no_loop(name: str) -> None:
    expression, expected = MAPPED[name]
    text = dsl.compile_text(f"param Z: [T, K]\nparam w: [K]\ndef f(x) = {expression}\ny = map(f, Z)\nL = sum(y ** 3)\noutput L, y")
    assert " in range(" not in text.partition("\ndef forward(")[2]
    module = module_of(text, "program")
    np.testing.assert_allclose(module.value(Z, H0).y, np.array([expected(z, H0) for z in Z]), rtol=1e-12)
    gradients = module.value_and_grad(Z, H0)[1]
    for i, each in enumerate((Z, H0)):
        direction = RNG.normal(size=each.shape)
        ends = [module.value(*(each + s * direction if j == i else one for j, one in enumerate((Z, H0)))).L for s in (1e-6, -1e-6)]
        np.testing.assert_allclose(np.sum(gradients[i] * direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-6)


def test_per_sample_gradients_through_a_gather_are_no_loop() -> None:
    text = "param Z: [T, K]\ninput w: [K]\ndef f(x) = grad(x[argmax(x * w)] ** 2 + sum(x[argsort(x)] * w), x)\ny = map(f, Z)\nL = sum(y)\noutput L, y"
    compiled = dsl.compile_text(text)
    assert " in range(" not in compiled.partition("\ndef forward(")[2]
    expected = []
    for z in Z:
        row = np.zeros(4)
        row[np.argmax(z * H0)] = 2 * z[np.argmax(z * H0)]
        row[np.argsort(z)] += H0
        expected.append(row)
    np.testing.assert_allclose(module_of(compiled, "program").value(Z, H0).y, expected, rtol=1e-12)
