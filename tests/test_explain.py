"""``gradc explain``: what it says is true, and each of its forms is well formed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import dsl.cli
from dsl.api import compile_path, module_of
from dsl.diagnostics import Source
from dsl.emit import helpers, index_helpers, linalg_helpers, softmax_helpers, special_helpers
from dsl.files import read
from dsl.pipeline import Compiled, compile_source
from dsl.sample import sample, sizes_of
from dsl.views.derivation import Derivation, derivation
from dsl.views.document import Display
from dsl.views.explain import explained
from tests.ops_reference import Names
from tests.test_latex import sound

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.expr"))
# those whose every formula is plain NumPy: no loops, no parts of factorisations
PLAIN = (
    "sigmoid_sum sigmoid_matmul any_function matmul chain_of_two chain_of_three multiple_inputs_add ridge rosenbrock neural_network svm "
    "matrix_factorisation poisson_glm black_scholes heat_plate gaussian_mixture total_variation cox item_response autoencoder "
    "negative_binomial attention"
).split()


def given(text: str) -> tuple[Compiled, Source]:
    source = Source("program.expr", text)
    return compile_source(source, "program"), source


def of(text: str) -> Derivation:
    return derivation(*given(text))


def of_example(stem: str) -> Derivation:
    path = ROOT / "examples" / f"{stem}.expr"
    return derivation(compile_path(path), read(path))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(dsl.cli.main, arguments, prog_name="gradc")


# the book ------------------------------------------------------------------------------------------------------------


def test_the_books_derivation() -> None:
    found = of_example("sigmoid_sum")
    assert [Display(each.parts).plain for each in found.chains] == [
        "∂L/∂X = ∂L/∂S · ∂S/∂N · ∂N/∂X = S * (1 - S) @ W.T",
        "∂L/∂W = ∂L/∂S · ∂S/∂N · ∂N/∂W = X.T @ (S * (1 - S))",
    ]
    ones, slope, by_x, by_w = found.locals
    assert ones.factor is not None and ones.factor[0].latex == r"\mathbf{1}_{n \times k}"
    assert slope.factor is not None and slope.factor[0].latex == r"S \odot (1 - S)" and slope.rule == "sigmoid: d/dx = out * (1 - out)"
    assert by_x.factor is not None and (by_x.factor[0].latex, by_x.factor[1]) == (r"{W}^\top", "from the right")
    assert by_w.factor is not None and (by_w.factor[0].latex, by_w.factor[1]) == (r"{X}^\top", "from the left")
    assert by_x.shapes == "(n × k) times (k × d) is n × d, the shape of X"
    assert slope.product is not None and slope.simple is not None
    assert slope.product.plain == "dL * ones((n, k)) * (S * (1 - S))" and slope.simple.plain == "dL * (S * (1 - S))"
    assert [each.name for each in slope.changes] == ["what is the same everywhere is repeated by broadcasting alone"]
    assert slope.code == ("dL_dproduct = dL * (sigmoid * (1 - sigmoid))",)
    assert dict(found.sizes) == {"n": "X.shape[0]", "d": "X.shape[1]", "k": "W.shape[1]"}


def test_a_value_that_is_used_twice_has_a_term_for_each() -> None:
    found = of("param x: [N]\ny = exp(x)\nL = sum(y * sin(y))")
    assert [each.terms for each in found.locals if each.operand == "y"] == [2, 2]
    assert len(found.chains[0].ways) == 2


def test_a_broadcast_argument_gets_a_sum() -> None:
    found = of("param x: [N, K]\nparam b: [K]\ny = x + b")
    assert next(each.shapes for each in found.locals if each.operand == "b") == "b was repeated to fill N × K: what its copies get is summed, back to K"


def test_what_the_output_does_not_depend_on_has_a_gradient_of_zero() -> None:
    found = of("param x, y: [N]\nL = sum(x)\nM = sum(y)\noutput L, M")
    assert Display(found.chains[1].parts).plain == "∂L/∂y = 0" and found.others == ("M",)


def test_a_way_goes_through_the_result_that_is_read() -> None:
    found = of("input X: [T, D]\nparam W: [D, D]\ndef step((h, c), x) = (tanh(h @ W + x), c + sum(h))\nh, c = fold(step, (zeros(D), 0.0), X)\nL = c ** 2")
    assert Display(found.chains[0].parts).plain == "∂L/∂W = ∂L/∂c · ∂c/∂W"
    found = of("param x: [6]\na, b = split(x, 2)\nL = sum(a * b)")
    assert "∂L/∂x = ∂L/∂M · ∂M/∂a · ∂a/∂x + ∂L/∂M · ∂M/∂b · ∂b/∂x" in Display(found.chains[0].parts).plain


def test_an_array_has_a_cotangent() -> None:
    shown = explained(*given("input X: [N, D]\nparam W: [D, K]\nY = X @ W"), "text")
    assert "Y is an array: dY is what its entries count for" in shown and "X.T @ dY" in shown


def test_the_users_rule_is_named() -> None:
    found = of('rule f(x) -> out\n    value  x ** 3\n    d/dx   3 * x ** 2\n    latex  "f({x})"\nparam x: [N]\nL = sum(f(x))')
    assert found.locals[-1].rule == "f: d/dx = 3 * x ** 2" and found.steps[0].formula.latex == "f(x)"


def test_rewrites_are_told_with_their_line() -> None:
    found = of("param x: [N, K]\nL = sum(log(softmax(x)))")
    assert "Line 2: log(softmax(x)) is computed as log_softmax(x)" in explained(found.compiled, found.source, "text")


# what it says is true ------------------------------------------------------------------------------------------------


def evaluated(found: Derivation) -> tuple[dict[str, Any], dict[str, Any]]:
    """The gradients that the printed formulas give, and those of the module."""
    program = found.compiled.program
    rng = np.random.default_rng(3)
    given = sample(program, sizes_of(program, {}), rng)
    module = module_of(found.compiled.text, "explained")
    consts = {each.node.name: each.default for each in program.arguments if each.node.role == "const"}
    sizes = {name: size for each in program.arguments if each.node.role != "const" for name, size in dims(each.node, given)}
    sizes |= {short: sizes[long] for short, long in found.sizes}
    files = (helpers, special_helpers, softmax_helpers, index_helpers, linalg_helpers)
    helping = {name.lstrip("_"): each for file in files for name, each in vars(file).items() if callable(each) and not hasattr(np, name.lstrip("_"))}
    space = Names({**helping, "max": max_of, **sizes, **consts, **given})
    for view in found.steps:
        text = view.step.text if view.made is None else view.made.plain
        space[view.step.name] = eval(symbols(text), {}, space)
    output, tape = module.forward(**given)
    first = output[0] if len(program.outputs) > 1 else output
    seed = rng.normal(size=np.shape(first)) if np.shape(first) else 1.0
    space[f"d{found.output}"] = seed
    total: dict[str, Any] = {}
    for each in found.locals:
        assert each.simple is not None
        for short, long in each.parts:
            space[short.plain] = eval(symbols(long.plain), {}, space)
        for shown in (each.product, each.simple):
            assert shown is not None
            value = eval(symbols(shown.plain), {}, space)
        total[each.operand] = total.get(each.operand, 0.0) + value
        space[symbols(f"∂{found.output}/∂{each.operand}")] = total[each.operand]
    return total, module.backward(tape, seed)._asdict()


def max_of(*args: Any, **keywords: Any) -> Any:
    return max(args) if len(args) > 1 and not keywords else np.max(*args, **keywords)


def symbols(text: str) -> str:
    return re.sub(r"∂(\w+)/∂(\w+)", r"d_\1_by_\2", text)


def dims(node: Any, given: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for dim, size in zip(node.type.shape or (), np.shape(given[node.name]), strict=True):
        if dim.single:
            yield str(dim.single), size


@pytest.mark.parametrize("stem", PLAIN)
def test_the_formulas_give_the_gradients(stem: str) -> None:
    found = of_example(stem)
    total, gradients = evaluated(found)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(total[name], gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_code_that_is_quoted_is_the_modules(path: Path) -> None:
    compiled = compile_path(path)
    found = derivation(compiled, read(path))
    lines = {line.strip() for line in compiled.text.split("\n")}
    quoted = [line.strip() for each in (*found.locals, *found.steps) for line in each.code]
    assert quoted and set(quoted) - {"…"} <= lines
    steps = {number for numbers in found.listing.steps.values() for number in numbers}
    assert steps == set(range(1, len(found.steps) + 1)), "every step has a line of code"


# the forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_explained_in_every_form(path: Path) -> None:
    compiled, source = compile_path(path), read(path)
    shown = explained(compiled, source, "text")
    assert shown.count("\n") > 20 and "\\" not in shown.replace("\\n", "") and not re.search(r"[ \t]\n", shown)
    marked = explained(compiled, source, "markdown")
    assert marked.count("```") % 2 == 0 and marked.count("$$") % 2 == 0
    for each in re.findall(r"\$\$\n(.*?)\n\$\$", marked, re.DOTALL):
        sound(each)
    typeset = explained(compiled, source, "latex")
    for name in ("align*", "tabular", "verbatim", "document"):
        assert typeset.count(rf"\begin{{{name}}}") == typeset.count(rf"\end{{{name}}}")
    plain = re.sub(r"\\begin\{verbatim\}.*?\\end\{verbatim\}", "", typeset, flags=re.DOTALL)
    assert plain.isascii() and re.sub(r"\\[{}]", "", plain).count("{") == re.sub(r"\\[{}]", "", plain).count("}")


def test_the_end_of_a_name_says_the_form(tmp_path: Path) -> None:
    program = tmp_path / "loss.expr"
    program.write_text("L = sum(sigmoid(X @ W))\n")
    for name, sign in (("a.md", "# loss\n"), ("a.tex", "\\documentclass"), ("a.txt", "loss\n====")):
        assert run("explain", str(program), "-o", str(tmp_path / "new" / name)).exit_code == 0
        assert (tmp_path / "new" / name).read_text().startswith(sign)
    assert run("explain", str(program), "--format", "markdown").output.startswith("# loss\n")
    assert run("explain", str(program), "--format", "latex", "-o", "-").output.startswith("\\documentclass")


def test_errors_are_those_of_compile(tmp_path: Path) -> None:
    program = tmp_path / "loss.expr"
    program.write_text("input X: [N, D]\nY = X @ X\n")
    compiled, shown = run("compile", str(program)), run("explain", str(program), "-o", str(tmp_path / "a.html"))
    assert shown.exit_code == compiled.exit_code == 1 and "E0304" in shown.output and not (tmp_path / "a.html").exists()
    assert shown.output == compiled.output
    assert run("explain", str(tmp_path / "missing.expr")).exit_code == 1
    program.write_text("L = sum(x ** 2)\n")
    assert run("explain", str(program), "-o", str(program)).exit_code == 2 and program.read_text() == "L = sum(x ** 2)\n"
    assert run("explain", str(program), "-o", "/dev/null/a.md").exit_code == 1
    assert run("explain", str(program), "--format", "pdf").exit_code == 2
