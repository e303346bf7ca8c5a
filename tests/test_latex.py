"""Every operation prints LaTeX, by its own stanza."""

import re

import pytest

from dsl.catalogue import catalogue
from dsl.diagnostics import Source
from dsl.emit.latex import identifier, latex
from dsl.imports import nowhere
from dsl.nodes import Apply, Node, Program, topological
from dsl.ops.builtins import functions
from dsl.ops.loops import LOOP
from dsl.parse import parse
from dsl.passes.resolve import resolve
from tests.ops_support import cases_of, differentiated

# what LaTeX itself and amsmath have, and nothing else
KNOWN = set(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega Gamma Delta Theta Lambda "
    "Xi Pi Sigma Upsilon Phi Psi Omega frac sqrt sum prod max min log sin cos tan sinh cosh tanh arcsin arccos arctan det odot ast cdot times le ge "
    "ne land lor lnot bmod lfloor rfloor lceil rceil lVert rVert langle rangle operatorname mathit mathbf mathbin text left right top infty "
    "begin end backslash partial qquad to".split()
)
LIBRARY = {
    "sigmoid_binary_cross_entropy": "x, y",
    "binary_cross_entropy": "x, y",
    "dense": "x, w, b",
    "layer_norm": "x, v, v",
    "batch_norm": "x, v, v",
    "nll": "x, labels",
    "cross_entropy": "x, labels",
    "attention": "x, y, y",
}
HEAD = "param x, y: [3, 4] unit\nparam w: [4, 4]\nparam b, v: [4]\ninput labels: int[3] in 0:4\n"


def sound(text: str) -> None:
    """What a formula must be for LaTeX: its brackets closed, its commands known, nothing left to fill in, no index on an index."""
    depth = 0
    for i, sign in enumerate(text):
        if sign in "{}" and not text[:i].endswith("\\"):
            depth += 1 if sign == "{" else -1
            assert depth >= 0, text
    assert depth == 0, text
    commands = set(re.findall(r"\\([A-Za-z]+)", text))
    assert commands <= KNOWN, (commands - KNOWN, text)
    assert text.count(r"\left") == text.count(r"\right") and text.count(r"\begin") == text.count(r"\end"), text
    plain = re.sub(r"\\text\{[^}]*\}|\\begin\{cases\}|\\end\{cases\}", "", text)
    assert not re.search(r"(?<!\\)[#%$~_^]$|[_^]\{?[_^]|(?<!\\)[#%$~]", plain), text
    assert "{*}" not in text and "{name}" not in text, text
    assert ("&" in plain) <= ("cases" in text), text


def resolved(text: str) -> Program:
    return resolve(parse(Source("case.expr", text)), "case", (), nowhere)


def formulas(program: Program) -> list[str]:
    """Every node's formula, its arguments written as letters, and the whole of each root."""
    found = [latex(root, {}) for root in program.roots]
    for node in topological(program.roots):
        if isinstance(node, Apply):
            letters: dict[Node, str] = {arg: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i % 26] for i, arg in enumerate(node.args)}
            found.append(latex(node, letters))
    return found


@pytest.mark.parametrize("name", [name for name in functions()])
def test_every_function_prints_latex_with_its_derivative(name: str) -> None:
    for case in cases_of(name):
        for each in formulas(differentiated(case.program)):
            assert each
            sound(each)


@pytest.mark.parametrize("name", [name for name, each in catalogue().items() if each.source])
def test_every_function_of_the_library_prints_latex(name: str) -> None:
    params = catalogue()[name].head.partition("(")[2].rstrip(")").split(", ")
    needed = [each for each in params if "=" not in each]
    arguments = LIBRARY.get(name, ", ".join("xy"[: len(needed)]))
    for each in formulas(resolved(f"{HEAD}out = {name}({arguments})\noutput out")):
        assert each
        sound(each)


def test_loops_print_latex() -> None:
    program = resolved("input X: [T, D]\ndef step(h, x) = h + x\ny = fold(step, zeros(D), X)")
    assert any(isinstance(node, Apply) and node.op is LOOP for node in topological(program.roots))
    for each in formulas(program):
        sound(each)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("sigmoid(X @ W)", r"\sigma(X W)"),
        ("sum(X)", r"\sum_{ij} {X}_{ij}"),
        ("sum(X, axis=0)", r"\sum_{i} {X}_{ij}"),
        ("X.T @ X", r"{X}^\top X"),
        ("X @ v", "X v"),
        ("v @ v", r"{v}^\top v"),
        ("outer(v, v)", r"v {v}^\top"),
        ("(X - 1) ** 2 / 3", r"\frac{(X - 1)^{2}}{3}"),
        ("X - (X - v)", "X - (X - v)"),
        ("X + (X - v)", "X + X - v"),
        ("-(X + v)", "-(X + v)"),
        ("X * (X + v)", r"X \odot (X + v)"),
        ("-X - -X", "-X - (-X)"),
        ("exp(X) ** 2", "(e^{X})^{2}"),
        ("log(X / 2)", r"\log\left(\frac{X}{2}\right)"),
        ("inv(W) @ W[0]", r"{W}^{-1} {W}_{[0]}"),
        ("where(X > 0, X, 1e-5)", r"\begin{cases} X & X > 0 \\ 10^{-5} & \text{otherwise} \end{cases}"),
        ("einsum('ij,ik,il->jkl', X, X, X)", r"\left[\sum_{i} {X}_{ij} {X}_{ik} {X}_{il}\right]_{jkl}"),
    ],
)
def test_formulas_read_as_mathematics_does(text: str, shown: str) -> None:
    program = resolved(f"param X: [N, 4]\nparam W: [4, 4]\nparam v: [4]\nout = {text}\noutput out")
    assert latex(program.roots[0], {}) == shown


@pytest.mark.parametrize(
    "name, shown",
    [("X", "X"), ("W1", "W_{1}"), ("sigma", r"\sigma"), ("λ", r"\lambda"), ("log_sd", r"\mathit{log\_sd}"), ("N_2", "N_{2}"), ("W1_2", "{W_{1}}_{2}")],
)
def test_names(name: str, shown: str) -> None:
    assert identifier(name) == shown


def test_a_rule_prints_the_latex_that_it_states() -> None:
    rule = 'rule swish(x) -> out\n    value  x * sigmoid(x)\n    d/dx   out + sigmoid(x) * (1 - out)\n    latex  "\\operatorname{swish}({x})"\n'
    assert latex(resolved(f"{rule}param x: [N]\ny = swish(x + 1)").roots[0], {}) == r"\operatorname{swish}(x + 1)"
