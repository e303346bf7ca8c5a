"""Jacobians and Hessians as structure: against differences, without loops over columns, and without what is 0."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import dsl
from dsl.api import module_of
from dsl.diagnostics import Source
from dsl.pipeline import Options, compile_source

RNG = np.random.default_rng(1)
x, y, M = RNG.normal(size=4), RNG.normal(size=4), RNG.normal(size=(4, 4)) + 3 * np.eye(4)
U, V, T, i = RNG.normal(size=(4, 2)), RNG.normal(size=(3, 2)), RNG.normal(size=(4, 3)), np.array([2, 0, 0])
GIVEN = {"x": x, "y": y, "M": M, "U": U, "V": V, "T": T, "i": i}
HEADER = """
param x: [N]
input y: [N]
input M: [N, N]
param U: [N, K]
input V: [P, K]
input T: [N, P]
input i: int[Q] in 0:N
def turn(h, m) = tanh(h * m) + x
def rowwise(h, m) = tanh(h + m * U)
"""


def module(text: str) -> Any:
    return module_of(compile_source(Source("program.expr", text), "program", Options(format=False)).text, "program")


def body(text: str) -> str:
    """The statements of the value that a program compiles to."""
    source = dsl.compile_text(text)
    source = source[source.index("def value(") :]
    return source[source.index("_checked(") : source.index("    return ")]


def compute(program: Any, **values: Any) -> Any:
    return program.value(**{**GIVEN, **values})


BY_X = {
    "elementwise": "tanh(x) * y",
    "an outer product": "outer(x, y) + M * x",
    "a product": "M @ (x * y)",
    "an identity that is scaled": "(M * (sum(x) * eye(x.shape[0]))) @ y",
    "functions of a scaled identity": "tanh(M + x[0] * eye(x.shape[0])) @ x",
    "a Jacobian's cube": "jacobian(x * sum(x ** 2), x) ** 3 @ y",
    "softmax": "softmax(x * y)",
    "softmax of rows": "softmax(M * x, axis=1)",
    "logsumexp": "logsumexp(M * x, axis=0)",
    "cumsum": "cumsum(x ** 2)",
    "cumprod": "cumprod(x)",
    "norms": "norm(M * x, axis=1)",
    "a mean": "mean(M * x, axis=0) * x",
    "a gather": "x[i] ** 2 * x[0]",
    "a gather of rows": "(M * x)[i] ** 2",
    "a gather of columns": "(M * x)[:, i] ** 2",
    "entries": "(M * x)[arange(4), arange(4)]",
    "slices": "concatenate([x[1:] * x[:-1], x[:1]])",
    "a step": "x[::2] ** 2",
    "a reshape": "reshape(outer(x, x), -1)",
    "a reshape of a part": "reshape(x[:, None, None] * T[:, :, None] * V[None], (x.size, -1))",
    "a transpose": "(x[:, None] * T).T",
    "axes of one entry": "(x[:, None] * T).sum(axis=0, keepdims=True) * x[0]",
    "stacks": "stack([x, x * y, y], axis=1)",
    "a diagonal": "diag(x) @ M + M * x",
    "off a diagonal": "diag(x, 1)",
    "triangles": "tril(outer(x, x)) + triu(M * x, 1)",
    "a solve": "solve(M @ M.T, x * y)",
    "a solve of a matrix": "solve(M @ M.T, x[:, None] * T)",
    "a solve in x": "solve(M + diag(x), y)",
    "an inverse": "inv(M + diag(x))",
    "a triangular solve": "solve_triangular(M, x * y)",
    "cholesky": "cholesky(M @ M.T + diag(x ** 2))",
    "a determinant": "det(M + diag(x)) * y",
    "a choice": "where(x > 0, x ** 3, -x) + where(y > 0, x, 0)",
    "a maximum": "max(M * x, axis=0)",
    "a sort": "sort(x * y)",
    "a sort of rows": "sort(M * x, axis=1)",
    "taken along": "take_along_axis(M * x, argsort(M, axis=1), axis=1)",
    "an update": "x.at[i].set(x[0] ** 2)",
    "an update of a part": "x.at[1:].add(y[1:] * x[0])",
    "a row written": "(M * x).at[i].set(x)",
    "convolution": "convolve(x, y)",
    "convolution of the second": "convolve(y, x[:2], mode='same')",
    "repeated": "tile(x ** 2, 2) + repeat(x, 2)",
    "padded": "pad(x ** 2, 1)",
    "moved": "roll(x, 1) * flip(x)",
    "einsum": "einsum('i,ij,j->ij', x, M, x)",
    "a trace": "trace(M * x) * x",
    "a kronecker product": "kron(diag(x), T)",
    "layers": "layer_norm(M * x, y, y)",
    "a scalar": "sum(x ** 3 * y)",
    "a loop": "fold(turn, y, M * x)",
    "a loop's history": "scan(turn, y, M)",
    "a loop within a loop": "fold(outer_turn, y, M)",
    "a map": "map(row, M * x)",
}
BY_U = {
    "elementwise": "tanh(U)",
    "softmax": "softmax(U, axis=-1)",
    "softmax of columns": "softmax(U, axis=0)",
    "a product": "U @ V.T",
    "a gram matrix": "U.T @ U",
    "a sort": "sort(U, axis=0)",
    "a gather": "U[i] ** 2",
    "pairs": "sqrt(sum((U[:, None, :] - V) ** 2, axis=-1))",
    "a loop": "fold(rowwise, U, y)",
    "a solve": "solve(M, U)",
    "a singular value decomposition": "svd(U, full_matrices=False)[1]",
}
NUMBERED = HEADER.replace("N", "4").replace("K", "2").replace("P", "3").replace("Q", "3")
FUNCTIONS = "def inner_turn(h, m) = h * 0.5 + sin(x * m)\ndef outer_turn(h, m) = fold(inner_turn, h, m) * 0.5\ndef row(v) = v * logsumexp(v)\n"
CASES = [("x", text) for text in BY_X.values()] + [("U", text) for text in BY_U.values()]


@pytest.mark.parametrize(("name", "text"), CASES)
def test_jacobian_is_that_of_differences(name: str, text: str) -> None:
    program = module(f"{HEADER}{FUNCTIONS}S = {text}\nJ = jacobian(S, {name})\noutput S, J")
    at = GIVEN[name]
    found = compute(program)
    assert found.J.shape == (*np.shape(found.S), *at.shape)
    units = 1e-6 * np.eye(at.size).reshape(-1, *at.shape)
    columns = [(compute(program, **{name: at + e}).S - compute(program, **{name: at - e}).S) / 2e-6 for e in units]
    expected = np.moveaxis(np.stack(columns), 0, -1).reshape(found.J.shape)
    np.testing.assert_allclose(found.J, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("name", "text"), CASES)
def test_no_loop_runs_over_columns(name: str, text: str) -> None:
    loops = body(f"{HEADER}{FUNCTIONS}g = grad(sum(({text}) ** 2), {name})\noutput g").count("for ")
    assert body(f"{HEADER}{FUNCTIONS}J = jacobian({text}, {name})\noutput J").count("for ") <= loops


PRODUCTS = {
    "x": ("u @ J", "J @ v", "R @ J", "J @ W"),
    "U": ("einsum('i,iab->ab', u, J)", "einsum('iab,ab->i', J, v)", "einsum('ri,iab->rab', R, J)", "einsum('iab,abw->iw', J, W)"),
}


@pytest.mark.parametrize(("name", "text"), CASES)
def test_products_with_it_are_derivatives_in_directions(name: str, text: str) -> None:
    """Vectors and matrices on either side, against the Jacobian itself; and the gradient of what holds one, against differences."""
    products = PRODUCTS[name]
    dense = compute(module(f"{HEADER}{FUNCTIONS}J = jacobian(reshape({text}, -1), {name})\noutput J"))
    at = GIVEN[name]
    u, v, R, W = RNG.normal(size=len(dense)), RNG.normal(size=at.shape), RNG.normal(size=(3, len(dense))), RNG.normal(size=(*at.shape, 3))
    sizes = {"u": u, "v": v, "R": R, "W": W}
    lines = [*(f"input {each}: {list(value.shape)}" for each, value in sizes.items()), f"s = reshape({text}, -1)", f"J = jacobian(s, {name})"]
    lines += [*(f"p{k} = {product}" for k, product in enumerate(products)), "L = sum(p0 * v) + sum(tanh(p1 * u))"]
    program = module(f"{NUMBERED}{FUNCTIONS}" + "\n".join([*lines, "output L, p0, p1, p2, p3"]))
    given = {**GIVEN, **sizes}
    found = program.value(**given)
    flat = dense.reshape(len(dense), -1)
    expected = (u @ flat, flat @ v.ravel(), R @ flat, flat @ W.reshape(at.size, 3))
    for one, other in zip(found[1:], expected, strict=True):
        np.testing.assert_allclose(one, other.reshape(one.shape), rtol=1e-9, atol=1e-11)
    _, gradients = program.value_and_grad(**given)
    direction = RNG.normal(size=at.shape)
    ends = [program.value(**{**given, name: at + step * direction}).L for step in (1e-6, -1e-6)]
    np.testing.assert_allclose(np.sum(getattr(gradients, name) * direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-6)


LOSSES = {
    "a logistic loss": "sum(log(1 + exp(M @ x))) + sum(x ** 4)",
    "a norm": "norm(M @ x) * logsumexp(x)",
    "a loop": "sum(fold(turn, y, M) ** 2)",
    "softmax": "softmax(M @ x)[0] * sum(y * x)",
}


@pytest.mark.parametrize("text", LOSSES.values(), ids=LOSSES)
def test_hessian_and_what_is_made_of_it(text: str) -> None:
    lines = [f"L = {text}", "H = hessian(L, x)", "g = grad(L, x)", "a = hessian(L, x) @ y", "b = y @ hessian(L, x)", "c = hessian(L, x) @ U"]
    lines += ["d = trace(hessian(L, x))", "e = diag(hessian(L, x))", "f = U.T @ hessian(L, x) @ U", "h = hvp(L, x, y)"]
    found = compute(module("\n".join([HEADER, *lines, "output H, g, a, b, c, d, e, f, h"])))
    program = module("\n".join([HEADER, *lines[:1], "g = grad(L, x)", "output g"]))
    H = np.stack([(compute(program, x=x + e) - compute(program, x=x - e)) / 2e-6 for e in 1e-6 * np.eye(4)])
    np.testing.assert_allclose(found.H, H, rtol=1e-6, atol=1e-7)
    for one, other in zip(found[2:], (H @ y, y @ H, H @ U, np.trace(H), np.diag(H), U.T @ H @ U, H @ y), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_hessian_that_is_multiplied_by_is_not_formed() -> None:
    """At 20,000 weights it would be 3 GB."""
    text = "input X: [N, D]\nparam w: [D]\ninput v: [D]\ninput V: [D, 3]\nL = sum(log(1 + exp(X @ w))) + sum(w ** 4)\n"
    program = module(f"{text}H = hessian(L, w)\na = H @ v\nb = v @ H\nc = H @ V\nd = sum((H @ v) ** 2)\nt = trace(H)\noutput d, a, b, c, t")
    diagonal = module(f"{text}e = diag(hessian(L, w))")
    X, w, v, V = RNG.normal(size=(5, 20_000)) / 100, RNG.normal(size=20_000), RNG.normal(size=20_000), RNG.normal(size=(20_000, 3))
    tracemalloc.start()
    found = program.value(X, w, v, V)
    program.value_and_grad(X, w, v, V)
    e = diagonal.value(X, w, v, V)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    p = 1 / (1 + np.exp(-X @ w))
    np.testing.assert_allclose(found.a, X.T @ (p * (1 - p) * (X @ v)) + 12 * w**2 * v, rtol=1e-10)
    np.testing.assert_allclose(found.c[:, 1], X.T @ (p * (1 - p) * (X @ V[:, 1])) + 12 * w**2 * V[:, 1], rtol=1e-10)
    on_diagonal = np.sum(X**2 * (p * (1 - p))[:, None], axis=0) + 12 * w**2
    np.testing.assert_allclose(e, on_diagonal, rtol=1e-10)
    np.testing.assert_allclose(found.t, np.sum(on_diagonal), rtol=1e-10)
    assert peak < 50e6


STRUCTURE = {
    "jacobian(softmax(x), x)": "_plus_diagonal(np.outer(-softmax_x, softmax_x), softmax_x)",
    "jacobian(exp(x), x)": "np.diag(np.exp(x))",
    "hessian(sum(exp(x)), x)": "np.diag(np.exp(x))",
    "hessian(sum((T - U @ V.T) ** 2), U)": '_on_diagonal((N, K, N, K), "abac->abc", 2 * (V.T @ V))',
    "hessian(x @ M @ x, x)": "M + M.T",
    "hessian(sum(exp(-(M @ x) ** 2 / 2)), x)": "M.T * (-exp + M_x * exp * M_x) @ M",
    "hessian(sum(exp(-(M @ x) ** 2)), x)": "M.T * (-2 * exp + 4 * M_x * exp * M_x) @ M",
    "jacobian(cumsum(x), x)": "np.tril(np.ones((N, N), dtype=dtype))",
    "grad(sum(x * diag(M)) * trace(M), x)": "np.trace(M)",
    "hessian(sum(log(1 + exp(M @ x))), x)": "M.T * (sigmoid * (1 - sigmoid)) @ M",
    "jacobian(x[i] ** 2, x)": "_scatter((Q, N), (np.arange(Q), i), 2 * _rows(x, i))",
    "jacobian(solve(M, x), x)": "np.linalg.inv(M)",
    "solve(diag(x), y)": "y / _nonzero(x)",
    "solve(hessian(sum(x ** 4), x) + eye(N), y)": "y / _nonzero(12 * x**2 + 1.0)",
    "inv(diag(x)) @ M": "(1 / _nonzero(x))[:, None] * M",
    "trace(diag(x) + outer(y, y))": "x.sum() + ",
}


@pytest.mark.parametrize(("expression", "code"), STRUCTURE.items())
def test_structure_stays(expression: str, code: str) -> None:
    assert code in body(f"{HEADER}r = {expression}\noutput r")


def test_a_jacobian_that_is_formed_is_multiplied_by() -> None:
    text = body(f"{HEADER}J = jacobian(tanh(M @ x), x)\na = J.T @ J\nb = J.T @ y\noutput a, b")
    assert "J.T @ J" in text and "y @ J" in text


def test_a_named_hessian_is_a_variable_of_its_own() -> None:
    found = compute(module(f"{HEADER}H = hessian(sum(x ** 4), x)\nG = grad(sum((H @ y) ** 2), H)\noutput G"))
    np.testing.assert_allclose(found, 2 * np.outer(12 * x**2 * y, y))


def test_a_singular_diagonal_is_an_error_with_its_line() -> None:
    program = module("param x: [N]\ninput y: [N]\nr = solve(diag(x), y)")
    with pytest.raises(np.linalg.LinAlgError, match=r"Singular matrix in line 3: r = solve\(diag\(x\), y\)"):
        program.value(np.array([1.0, 0.0]), np.ones(2))


def test_single_precision_stays() -> None:
    program = module(f"{HEADER}J = jacobian(softmax(M * x, axis=1), x)\nH = hessian(sum((T - U @ V.T) ** 2), U)\nE = jacobian(sort(x), x)\noutput J, H, E")
    given = {name: value.astype(np.float32) if value.dtype == np.float64 else value for name, value in GIVEN.items()}
    assert {each.dtype for each in program.value(**given)} == {np.dtype(np.float32)}


def test_a_diagonal_added_in_place_leaves_arguments_alone_and_keeps_the_wider_precision() -> None:
    program = module("param x: [N]\ninput M: [N, N]\nA = M + diag(x)\nB = diag(x) - M\nC = diag(x) - outer(x, x)\noutput A, B, C")
    M32, before = M.astype(np.float32), M.astype(np.float32).copy()
    found = program.value(x, M32)
    assert found.A.dtype == np.float64 and np.array_equal(M32, before)
    np.testing.assert_allclose(found.A, M32 + np.diag(x), rtol=1e-15)
    np.testing.assert_allclose(found.B, np.diag(x) - M32, rtol=1e-15)
    np.testing.assert_allclose(found.C, np.diag(x) - np.outer(x, x), rtol=1e-15)


def test_a_trace_of_a_hessian_has_a_hessian() -> None:
    """Of a Hessian of a matrix rows run with rows and columns with columns: a trace makes all of these one."""
    head = "param X: [D, D]\nv = trace(hessian(sum(sin(X)) * sum(X), X))\n"
    hessian, gradient = (module(f"{head}out = {name}(sum(v ** 2), X)\noutput out\n") for name in ("hessian", "grad"))
    X, step = RNG.normal(size=(3, 3)), 1e-5
    unit = np.eye(9).reshape(9, 3, 3)
    columns = [(gradient.value(X + step * each) - gradient.value(X - step * each)) / (2 * step) for each in unit]
    np.testing.assert_allclose(hessian.value(X).reshape(9, 9), np.reshape(columns, (9, 9)), rtol=1e-6, atol=1e-6)
