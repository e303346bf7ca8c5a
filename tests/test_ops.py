"""Every function of the registry, by the cases of its stanza: values, gradients, gradients of gradients, precisions and sizes.

A new function is tested here because it is registered.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import cast

import numpy as np
import pytest

from dsl.catalogue import catalogue, described, entry
from dsl.diagnostics import Code, DslError
from dsl.nodes import Apply, topological
from dsl.ops.along import IN_PARTS
from dsl.ops.builtins import FUNCTIONS, MODULES, functions, of_rule, operations
from dsl.ops.elementwise import Elementwise, elementwise_ops, read_rules
from dsl.ops.spec import Function
from tests.ops_support import Case, Variable, cases_of, check, check_gradient, check_twice, differentiated, expected, module, sample

# what is written without a function's name
SYNTAX = (
    "-x ** 2 + +x",
    "2 ** x - x % 0.7 + 7.0 // y | x: [3]; y: [3] positive",
    "x.T",
    "x.T | x: [2, 3, 4]",
    "x / N | x: [N]",
    "x * x.shape[0] + x.size - x.ndim",
    "x * (i > 1) | x: [3]; i: int[3]",
    "x + [1, 2, 3, 4]",
    "x @ [[1, 2], [3, 4], [5, 6], [7, 8]]",
    "x[1]",
    "x[-1, 2]",
    "x[1:]",
    "x[:, 1:3]",
    "x[::2, ::-1]",
    "x[-2:, :-1]",
    "x[2:0:-1]",
    "x[..., 1]",
    "x[..., None] * x[:, None]",
    "x[None, 1, :, None]",
    "x[[2, 0, 2]]",
    "x[i] | x: [3, 4]; i: int[5] in 0:3",
    "x[i] | x: [3]; i: int[] in 0:3",
    "x[:, i] | x: [3, 4]; i: int[2, 2] in -4:4",
    "x[i, j] | x: [3, 4]; i: int[5] in 0:3; j: int[5] in 0:4",
    "x[i, j] | x: [3, 4]; i: int[2, 1] in 0:3; j: int[3] in 0:4",
    "x[i, :, j] | x: [3, 2, 4]; i: int[5] in 0:3; j: int[5] in 0:4",
    "x[:, i, j] | x: [2, 3, 4]; i: int[5] in 0:3; j: int[5] in 0:4",
    "x[i, None, 1:] | x: [3, 4]; i: int[5] in 0:3",
    "x[arange(N), i] | x: [N, 3]; i: int[N] in 0:3",
    "x.at[1].set(y) | x: [3, 4]; y: [4]",
    "x.at[:, 1:3].set(y) | x: [3, 4]; y: []",
    "x.at[::2].add(y[::2])",
    "x.at[i].set(y) | x: [3, 4]; y: [5, 4]; i: int[5] in 0:3",
    "x.at[i].add(y) | x: [3, 4]; y: [5, 4]; i: int[5] in 0:3",
    "x.at[i, j].add(y) | x: [3, 4]; y: [2]; i: int[2] in 0:3; j: int[2] in 0:4",
    "x.at[..., 0].set(2.5)",
)
CASES = {f"{name}: {text}": case for name, each in functions().items() for case, text in zip(cases_of(name), each.cases, strict=True)}
CASES |= {f"syntax: {text}": Case.read(text) for text in SYNTAX}
ANY_SHAPE = "out = mean(x * y) + sum(y)\n"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_value_and_gradient(case: Case) -> None:
    check(case, np.random.default_rng(0))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_gradient_of_gradient(case: Case) -> None:
    check_twice(case, np.random.default_rng(1))


def test_truth_values() -> None:
    """What Python refuses for arrays works entry by entry."""
    compiled = module("param x: [N]\nparam y: [N]\nout = x * (not x > y) + y * (0 < x < 1) + x * (x > 0 and y > 0 or x < -1)\n")
    x, y = np.random.default_rng(7).normal(size=(2, 50))
    kept, inside, both = ~(x > y), (0 < x) & (x < 1), (x > 0) & (y > 0) | (x < -1)
    out, tape = compiled.forward(x, y)
    np.testing.assert_allclose(out, x * kept + y * inside + x * both)
    np.testing.assert_array_equal(compiled.backward(tape), [1.0 * kept + both, inside])


# sizes ---------------------------------------------------------------------------------------------------------------

SYMBOLIC = {name: case.symbolic() for name, case in CASES.items() if case.symbolic().symbols}

# where sizes are symbols, these cannot be as NumPy has them
APART = {
    "squeeze: squeeze(x) | x: [1, 3, 1]": "the number of axes would hang on a size",
    "take: take(x, 2, axis=1)": "an index out of range is an error even if nothing is taken",
    **dict.fromkeys(
        ("lstsq: lstsq(x, B)[1] | x: [4, 3]; B: [4, 2]", "lstsq: lstsq(x, b)[1] | x: [4, 3]; b: [4]"),
        "whether there are residuals would hang on the sizes",
    ),
    **dict.fromkeys(
        ("norm: norm(x, inf) | x: [4]", "norm: norm(x, 1)", "norm: norm(x, inf)", "norm: norm(x, 1, axis=(0, 2)) | x: [2, 3, 4]"),
        "the largest of no entries is an error, as in NumPy before 2.3",
    ),
}


def holds_for_symbols(case: Case) -> bool:
    """Whether a case compiles: some hold only for the numbers that they are written with, and the message is about shapes."""
    try:
        return bool(module(case.program))
    except DslError as refused:
        assert all(each.code in (Code.E0301, Code.E0302, Code.E0304, Code.E0305) for each in refused.diagnostics), refused
        return False


@pytest.mark.parametrize("name", [name for name in SYMBOLIC if name not in APART])
def test_symbols_for_sizes(name: str) -> None:
    """Symbols in place of numbers: the sizes of the case, no entries at all, and one along each axis, wherever NumPy takes these."""
    case = SYMBOLIC[name]
    if holds_for_symbols(case):
        for sizes in (case.sizes, dict.fromkeys(case.sizes, 0), dict.fromkeys(case.sizes, 1)):
            check_sizes(case, sizes)


def check_sizes(case: Case, sizes: Mapping[str, int]) -> None:
    try:
        expected(case, sample(case, np.random.default_rng(2), sizes), sizes)
    except (ValueError, IndexError, ZeroDivisionError):
        # NumPy refuses these sizes
        return
    try:
        with warnings.catch_warnings():
            # a mean over no entries
            warnings.simplefilter("ignore", RuntimeWarning)
            check(case, np.random.default_rng(2), sizes)
    except ValueError as refused:
        # slices, windows and diagonals of symbolic sizes are assumed to fit
        assert "must be at least" in str(refused)


def test_most_cases_hold_for_symbols() -> None:
    assert sum(map(holds_for_symbols, SYMBOLIC.values())) > 0.9 * len(SYMBOLIC)


# the registry --------------------------------------------------------------------------------------------------------

NAMES = """
    abs sign sqrt cbrt square reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh
    arctanh floor ceil round isfinite isnan erf erfc gammaln digamma polygamma expit logit xlogy entr
    maximum minimum power pow arctan2 hypot logaddexp fmod mod clip where logical_and logical_or logical_not
    sigmoid log_sigmoid softplus relu relu6 leaky_relu elu selu celu gelu silu mish hard_tanh hard_sigmoid soft_sign softmax log_softmax one_hot glu
    sum mean prod max min var std logsumexp any all argmax argmin norm average cumsum cumprod
    reshape transpose swapaxes moveaxis expand_dims squeeze ravel broadcast_to concatenate stack hstack vstack split tile repeat pad roll flip
    diag diagonal tril triu take take_along_axis sort argsort
    zeros ones full eye arange linspace zeros_like ones_like full_like astype tril_indices triu_indices
    matmul dot vdot inner outer tensordot einsum kron cross trace matrix_power
    inv solve det slogdet logdet cholesky solve_triangular eigh svd qr pinv lstsq
    convolve conv1d conv2d max_pool1d max_pool2d avg_pool2d
    mse mae huber cross_entropy binary_cross_entropy nll kl_divergence cosine_similarity dense layer_norm batch_norm attention
    stop_gradient
""".split()


def test_every_name_of_the_language_is_there() -> None:
    assert [name for name in NAMES if name not in catalogue()] == []


def test_operators_and_updates_are_told_of_too() -> None:
    for sign, name in (("@", "matmul"), ("+", "add"), ("**", "power"), ("<=", "less_equal"), ("not", "logical_not"), ("at", "at"), ("set", "at")):
        found = entry(sign)
        assert found is not None and found.name == name and described(found)


def test_every_function_has_cases() -> None:
    assert [each.name for each in functions().values() if not each.cases] == []


def test_names_are_unique() -> None:
    every = [*(each.name for rule in elementwise_ops().values() for each in of_rule(rule)), *(each.name for each in FUNCTIONS)]
    assert len(set(every)) == len(every) == len(functions())
    primitives = [*elementwise_ops(), *(op.name for each in MODULES for op in each.OPS)]
    assert len(set(primitives)) == len(primitives) == len(operations())


def test_derivatives_are_made_of_operations() -> None:
    """No rule makes what is not registered, and no operation is registered that no case comes upon."""
    programs = [*(case.program for case in CASES.values()), ANY_SHAPE]
    used = {node.op for each in programs for node in topological(differentiated(each).every_root) if isinstance(node, Apply)}
    # the cotangents of a factorisation's parts are taken out again before the gradient is done; loops have tests of their own, and so has what
    # the last passes make: diagonals added in place, a softmax or a sigmoid beside its logarithm, and numbers that are carried for logarithms
    others = {op.name for op in IN_PARTS} | {"unpart", "loop", "plus_diagonal", "renamed", "recurrence", "with_exponent"}
    others |= {"keeps_digits", "stands_apart", "moderate"}
    assert used == {op for op in operations().values() if op.name not in others}


@pytest.mark.parametrize("shapes", [((), ()), ((3,), (3,)), ((2, 3), ()), ((3,), (2, 3)), ((2, 1), (1, 3)), ((1,), (2, 1, 2))])
def test_names_of_any_shape(shapes: tuple[tuple[int, ...], ...]) -> None:
    """Undeclared names that nothing gives a rank: gradients are summed back to what the call brings."""
    rng = np.random.default_rng(6)
    x, y = (np.asarray(rng.normal(size=shape)) for shape in shapes)
    compiled = module(ANY_SHAPE)
    np.testing.assert_allclose(compiled.value(x, y), np.mean(x * y) + np.sum(y))
    for name, gradient in compiled.value_and_grad(x, y)[1]._asdict().items():
        check_gradient(compiled.value, {"x": x, "y": y}, Variable(name, "float", (), ""), gradient, np.array(1.0))


# one stanza ----------------------------------------------------------------------------------------------------------

SINC = """
rule sinc(x) -> out
    numpy  np.sinc({x})
    d/dx   where(x == 0, 0, (cos(pi * x) - out) / where(x == 0, 1, x))
    doc    sin(pi * x) / (pi * x), and 1 at 0.
    kink   x == 0
"""


def register(text: str, patch: pytest.MonkeyPatch) -> str:
    """Add a rule to those of the package, for the time of a test; its name."""
    ((name, rule),) = read_rules(text).items()
    module.cache_clear()
    differentiated.cache_clear()
    patch.setitem(cast("dict[str, Elementwise]", elementwise_ops()), name, rule)
    patch.setitem(cast("dict[str, Function]", functions()), name, of_rule(rule)[0])
    return name


def test_a_stanza_is_all_that_a_function_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    name = register(SINC, monkeypatch)
    assert "sin(pi * x) / (pi * x)" in described(catalogue.__wrapped__()[name])
    assert len(cases_of(name)) > 2
    for case in cases_of(name):
        check(case, np.random.default_rng(4))
        check_twice(case, np.random.default_rng(5))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("(cos(pi * x) - out)", "(cos(pi * x) + out)"), ("where(x == 0, 0, (", "where(x == 0, 0, 1.0001 * ("), ("np.sinc({x})", "np.sinc({x} + 1e-6)")],
)
def test_a_wrong_stanza_is_found(right: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = register(SINC.replace(right, wrong), monkeypatch)
    with pytest.raises(AssertionError):
        for case in cases_of(name):
            check(case, np.random.default_rng(4))
