"""``gradc graph``: every step has a box, every array its shape, texts fit, gradients flow where they do, and the derivatives are the derivatives."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from unicodedata import east_asian_width

import numpy as np
import pytest
from scipy import special

from docs.refresh import diagram as picture
from dsl.api import compile_path
from dsl.diagnostics import DslError, Source
from dsl.gradcheck import CheckReport
from dsl.nodes import Program
from dsl.pipeline import Options, compile_source
from dsl.views.collapse import MOST, collapsed
from dsl.views.diagram import Diagram, diagram
from dsl.views.drawing import STYLE
from dsl.views.graph import graph, svg
from dsl.views.plot import plotted
from dsl.views.slopes import slopes
from dsl.views.steps import composition
from tests.conftest import Hold
from tests.test_cli import GOOD, run

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.expr"))
SVG = "{http://www.w3.org/2000/svg}"
KEPT = Path(__file__).parent / "graphs"
# programs whose graph is kept as text, in each form
SHOWN = [(ROOT / "examples" / f"{stem}.expr", form) for stem in ("sigmoid_sum", "rnn", "classifier") for form in ("dot", "mermaid")]


Write = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes programs into the working folder, by name without .expr."""
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> list[str]:
        return [str(Path(f"{stem}.expr").write_text(text, encoding="utf-8") and f"{stem}.expr") for stem, text in texts.items()]

    return write


def program(text: str) -> Program:
    return compile_source(Source("program.expr", text), "program", Options(format=False)).program


def drawn(text: str, backward: bool = True) -> Diagram:
    made = composition(program(text))
    return diagram(made, slopes(made) if backward else None)


def of_example(path: Path) -> Program:
    return compile_path(path, format=False).program


def boxes(root: ET.Element) -> Iterator[ET.Element]:
    return (each for each in root.iter(f"{SVG}g") if "step" in each.get("class", "").split())


def texts(element: ET.Element) -> list[str]:
    return [each.text or "" for each in element.iter(f"{SVG}text")]


@pytest.mark.parametrize(("path", "form"), SHOWN, ids=lambda part: part if isinstance(part, str) else part.stem)
def test_text(path: Path, form: str, golden: Hold) -> None:
    golden(KEPT / f"{path.stem}.{form}", graph(of_example(path), form, backward=True))


def test_no_orphans(golden: Hold) -> None:
    for path in sorted(KEPT.iterdir()):
        if path not in [KEPT / f"{source.stem}.{form}" for source, form in SHOWN]:
            golden(path, None)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, backward: bool) -> None:
    compiled = of_example(path)
    text = graph(compiled, backward=backward, collapse="none")
    assert graph(compiled, backward=backward, collapse="none") == text
    root, made = ET.fromstring(text), composition(compiled)
    found = {each.get("data-step"): each for each in boxes(root)}
    assert list(found) == [str(step.number) for step in made.steps] and all(each.get("id") == f"step-{number}" for number, each in found.items())
    shown = texts(root)
    for step in made.steps:
        assert step.text[:20].removeprefix(step.title) in "".join(texts(found[str(step.number)]))
    assert all(each.node.name in shown for each in compiled.arguments if any(each.node is one.node for step in made.steps for one in step.operands))
    assert any(each.startswith("∂") for each in shown) == backward
    assert_texts_fit(root)
    assert_apart(root)


def assert_texts_fit(root: ET.Element) -> None:
    """No text is wider than its box, in the widest of the fonts, whose every character takes 0.602 of its size; and all is on the paper."""
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for group in root.iter(f"{SVG}g"):
        frame = group.find(f"{SVG}rect")
        if frame is None:
            continue
        left, right = float(frame.get("x", "")), float(frame.get("x", "")) + float(frame.get("width", ""))
        top, bottom = float(frame.get("y", "")), float(frame.get("y", "")) + float(frame.get("height", ""))
        assert left >= -14 and top >= -14 and right <= width - 14 and bottom <= height - 14
        for each in group.findall(f"{SVG}text"):
            size = float(re.sub(r"[^\d.]", "", each.get("style", "12")))
            wide = sum(2 if east_asian_width(sign) in "WF" else 1 for sign in each.text or "") * 0.602 * size
            x = float(each.get("x", "")) - {"start": 0, "middle": wide / 2}[each.get("text-anchor", "")]
            assert left <= x and x + wide <= right + 0.2, each.text
            assert top < float(each.get("y", "")) < bottom, each.text


def assert_apart(root: ET.Element) -> None:
    """No two boxes overlap."""
    frames = [each.find(f"{SVG}rect") for each in boxes(root)]
    places = sorted([float(frame.get(key, "")) for key in ("x", "y", "width", "height")] for frame in frames if frame is not None)
    for i, (x, y, width, height) in enumerate(places):
        for u, v, _, tall in places[i + 1 :]:
            if u >= x + width:
                break
            assert v >= y + height or y >= v + tall


def test_the_figure_of_the_book() -> None:
    """Figures 1.14 to 1.22: what is drawn of L = sum(sigmoid(X @ W))."""
    found = drawn((ROOT / "examples" / "sigmoid_sum.expr").read_text(encoding="utf-8"))
    assert [(each.symbol, each.caption) for each in found.boxes] == [("ν", "X @ W"), ("σ", "sigmoid(N)"), ("Λ", "sum(S)")]
    assert [each.slopes for each in found.boxes] == [("∂N/∂X = Wᵀ", "∂N/∂W = Xᵀ"), ("∂S/∂N = S · (1 − S)",), ("∂L/∂S = 1",)]
    arrays = {each.name: (each.shape, each.kind, each.gradient) for each in found.arrays}
    assert arrays == {
        **{"X": ("[n, d]", "param", "∂L/∂X"), "W": ("[d, k]", "param", "∂L/∂W"), "N": ("[n, k]", "inner", "∂L/∂N")},
        **{"S": ("[n, k]", "inner", "∂L/∂S"), "L": ("[]", "output", "∂L/∂L = 1")},
    }
    keys = {each.key: each.name for each in found.arrays}
    flow = [(keys.get(each.tail, each.tail), keys.get(each.head, each.head)) for each in found.arrows if each.returns]
    assert flow == [("X", "step-1"), ("W", "step-1"), ("step-1", "N"), ("N", "step-2"), ("step-2", "S"), ("S", "step-3"), ("step-3", "L")]


def test_gradients_flow_to_parameters_only() -> None:
    found = drawn("input X: [N, D]\ninput y: int[N] in 0:K\nparam W: [D, K]\nL = cross_entropy(X @ W, y)\naccuracy = mean(argmax(X @ W, axis=-1) == y)")
    gradients = {each.name for each in found.arrays if each.gradient}
    assert gradients == {"W", "M", "L"}
    stopped = drawn("param a: [N]\nparam b: [N]\nL = sum(stop_gradient(tanh(a)) * b)")
    assert {each.name for each in stopped.arrays if each.gradient} == {"b", "M", "L"}


FUNCTIONS = ["sigmoid(x)", "tanh(x)", "log(x)", "sqrt(x)", "1 / x", "x ** 3", "x ** 2", "x * a", "a / x", "x - a", "exp(-x)", "softplus(x)", "swish(x)"]
SWISH = "rule swish(x) -> out\n    value  x * sigmoid(x)\n    d/dx   out + sigmoid(x) * (1 - out)\n"


@pytest.mark.parametrize("formula", FUNCTIONS)
def test_slopes_are_derivatives(formula: str) -> None:
    """The text of each box, run as NumPy, against a finite difference of what the box does."""
    made = composition(program(f"{SWISH}input a: []\nparam x: []\ny = {formula}"))
    space = {name: getattr(np, name) for name in ("exp", "log", "sqrt", "tanh", "where")} | {"sigmoid": special.expit, "a": 0.7, "x": 1.3}
    space |= {"softplus": lambda x: np.logaddexp(0, x), "swish": lambda x: x * special.expit(x)}
    for step in made.steps:
        for i, operand in enumerate(step.operands):
            space[step.name] = eval(step.text, space)
            if operand.node is None:
                continue
            text = slopes(made)[step.number, i].text
            for sign, code in (("·", "*"), ("−", "-"), ("²", "**2"), ("³", "**3"), ("√", "sqrt")):
                text = text.replace(sign, code)
            ends = [eval(step.text, {**space, operand.name: space[operand.name] + h}) for h in (1e-6, -1e-6)]
            assert np.isclose(eval(text, space), (ends[0] - ends[1]) / 2e-6, rtol=1e-6), text


def test_the_incoming_gradient_has_a_name_of_its_own() -> None:
    for name, given in (("a", "g"), ("g", "G")):
        found = drawn(f"param {name}: [N]\nL = logsumexp({name})")
        assert found.boxes[0].slopes == (f"∂L/∂{name} = {given} · exp({name} − L)",)


def test_loops() -> None:
    found = drawn("param W: [K, K]\ninput X: [T, K]\ndef step(h, x) = tanh(h @ W + x)\nh = fold(step, zeros(K), X)\nL = sum(h ** 2)")
    names = {each.key: each.name for each in found.arrays}
    turns = [(names.get(each.tail, each.tail), names.get(each.head, each.head), each.turn) for each in found.arrows if each.turn]
    assert sorted(turns) == [("X", "x", "each"), ("Z", "h", "first"), ("step-5", "h", "next")]
    assert [each.label for each in found.groups] == ["fold: step"]
    assert [each.key for each in found.boxes if each.groups] == ["step-2", "step-3", "step-4", "step-5"]


TWO = """
input X: [T, K]
param V, W: [K, K]
def one(h, x) = tanh(h @ V + x)
def two(h, x) = tanh(h @ W - x)
def row(x) = x ** 2
h = fold(two, zeros(K), scan(one, zeros(K), X))
L = sum(h) + sum(map(row, X))
"""


def test_loops_whose_functions_have_the_same_names() -> None:
    found = drawn(TWO)
    places = {each.key: (each.name, *each.groups) for each in found.arrays}
    groups = {each.label: each.key for each in found.groups}
    assert list(groups) == ["scan: one", "fold: two", "map: row"]
    entered = {(places[each.tail][0], places[each.head][0], places[each.head][1], each.turn) for each in found.arrows if each.turn in ("first", "each")}
    scan, fold, rows = groups.values()
    made = next(each.name for each in found.arrays if each.shape == "[T, K]" and each.name != "X")
    assert entered == {("Z", "h", scan, "first"), ("X", "x", scan, "each"), ("Z", "h", fold, "first"), (made, "x", fold, "each"), ("X", "x", rows, "each")}
    assert sum(each.turn == "next" for each in found.arrows) == 2


def test_a_loop_within_a_loop() -> None:
    found = diagram(composition(of_example(ROOT / "tests" / "cases" / "loops.expr")))
    labels = {each.key: each.label for each in found.groups}
    inside = {each.name: [labels[group] for group in each.groups] for each in found.arrays if each.name in ("x", "v", "row", "m")}
    assert inside == {"x": ["fold: newton"], "v": ["fold: outside"], "row": ["fold: outside"], "m": ["fold: outside", "fold: inside"]}


def test_functions_are_groups_and_collapse() -> None:
    made = composition(program("def half(x) = tanh(x) * x\ndef both(x) = half(x) + half(2 * x)\nparam x: [N]\nL = sum(both(x))"))
    found = diagram(made, slopes(made))
    assert [each.label for each in found.groups] == ["both", "half", "half"]
    functions = collapsed(found, made, "functions")
    assert [each.symbol for each in functions.boxes] == ["both", "Λ"] and functions.groups == ()
    assert [each.name for each in functions.arrays] == ["x", "A", "L"]
    lines = collapsed(found, made, "lines")
    assert [(each.symbol, each.caption) for each in lines.boxes] == [("line 4", "L = sum(both(x))")]
    assert [each.name for each in lines.arrays] == ["x", "L"] and all(each.returns for each in lines.arrows)


def test_large_programs_collapse() -> None:
    lines = [f"x{i} = tanh(x{i - 1}) * x{i // 2} + 1" for i in range(1, 120)]
    made = composition(program("\n".join(["param x0: [N]", *lines, "L = sum(x119)"])))
    found = collapsed(diagram(made, slopes(made)), made)
    assert len(found.boxes) <= MOST and sorted(number for each in found.boxes for number in each.steps) == list(range(1, len(made.steps) + 1))
    assert found.boxes[0].symbol == "lines 2 to 4"
    root = ET.fromstring(svg(made))
    assert "1 2 3" in next(boxes(root)).get("data-step", "")
    assert_texts_fit(root)


def test_elements() -> None:
    """Figure 1.15: a row times a column."""
    text = graph(program("param X: [1, 3]\nparam W: [3, 1]\nN = X @ W"), backward=True, elements=True)
    shown = texts(ET.fromstring(text))
    assert [each for each in shown if "·" in each and "=" not in each] == ["X₁₁ · W₁₁", "X₁₂ · W₂₁", "X₁₃ · W₃₁"]
    assert "∂/∂X₁₂ = W₂₁" in shown and "∂N/∂W₃₁" in shown and shown.count("+") == 1
    assert_texts_fit(ET.fromstring(text))
    named = graph(of_example(ROOT / "examples" / "sigmoid_sum.expr"), elements=True, dims={"n": 1, "d": 2, "k": 3})
    assert [each for each in texts(ET.fromstring(named)) if "·" in each] == [f"X₁{k} · W{k}{j}" for j in "₁₂₃" for k in "₁₂"]
    dot = graph(program("param x: [4]\nL = x @ x"), "dot", elements=True)
    assert dot.count("×") == 4 and "x₄ · x₄" in dot


@pytest.mark.parametrize(("text", "dims", "said"), [("param X: [9, 9]\nL = sum(X @ X)", {}, "64"), ("param X: [N, N]\nL = sum(X @ X)", {"M": 2}, "`M`")])
def test_elements_that_cannot_be_drawn(text: str, dims: dict[str, int], said: str) -> None:
    with pytest.raises(DslError) as caught:
        graph(program(text), elements=True, dims=dims)
    assert caught.value.diagnostics[0].code.name == "E0503" and said in caught.value.diagnostics[0].message


def test_command(write: Write) -> None:
    (good,) = write(good=GOOD)
    shown = run("graph", good)
    assert shown.exit_code == 0 and shown.stderr == "" and ET.fromstring(shown.stdout).tag == f"{SVG}svg"
    assert run("graph", good, "-o", "new/good.svg").output == "" and Path("new/good.svg").read_text(encoding="utf-8") == shown.stdout
    assert run("graph", good, "-o", "good.dot").exit_code == 0 and Path("good.dot").read_text(encoding="utf-8").startswith("digraph {")
    assert run("graph", good, "-o", "good.mmd", "--backward").exit_code == 0 and Path("good.mmd").read_text(encoding="utf-8").startswith("flowchart")
    assert run("graph", good, "--format", "dot").stdout == Path("good.dot").read_text(encoding="utf-8")
    assert run("graph", good, "--format", "png").exit_code == 2


def test_what_is_refused(write: Write) -> None:
    good, bad = write(good=GOOD, bad="L = sum(x @ y")
    assert run("graph", good, "-o", good).exit_code == 2 and Path(good).read_text(encoding="utf-8") == GOOD
    told, compiled = run("graph", bad, "-o", "bad.svg"), run("compile", bad)
    assert told.exit_code == 1 and told.stderr == compiled.stderr != "" and not Path("bad.svg").exists()
    assert run("graph", good, "-o", "/dev/null/good.svg").exit_code == 1
    assert run("graph", "missing.expr").exit_code == 1
    assert run("graph", good, "--elements").exit_code == 1


def test_without_graphviz(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    (good,) = write(good=GOOD)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    told = run("graph", good, "-o", "good.svg")
    assert told.exit_code == 1 and "pip install 'gradc[views]'" in told.stderr and not Path("good.svg").exists()
    assert run("graph", good, "--format", "dot").exit_code == run("graph", good, "--format", "mermaid").exit_code == 0


def test_names_that_other_languages_have() -> None:
    found = program("input Δ: [N]\nparam end: [N]\nparam 重み: [N]\nL = sum(重み * end * Δ)")
    root = ET.fromstring(graph(found, backward=True))
    assert_texts_fit(root)
    assert "∂L/∂重み" in texts(root)
    assert "end" not in re.findall(r"^ *(\w+)\(\[", graph(found, "mermaid"), re.MULTILINE)


def test_dot_is_laid_out_by_graphviz() -> None:
    """The text for other tools is DOT: Graphviz itself reads it, and finds every box and array."""
    code = "import json, sys\nfrom pygraphviz import AGraph\ng = AGraph(sys.stdin.read())\nprint(json.dumps(sorted(g.nodes())))"
    text = graph(of_example(ROOT / "examples" / "kalman.expr"), "dot", backward=True)
    read = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True).stdout
    made = composition(of_example(ROOT / "examples" / "kalman.expr"))
    found = diagram(made)
    assert json.loads(read) == sorted(each.key for each in (*found.boxes, *found.arrays))


def test_the_readmes_diagram_is_current() -> None:
    """But for where Graphviz puts things, which is its own affair."""
    kept = ET.fromstring((ROOT / "docs" / "sigmoid_sum.svg").read_text(encoding="utf-8"))
    assert texts(kept) == texts(ET.fromstring(picture())), "run `python -m docs.refresh`"


def palettes() -> list[dict[str, str]]:
    """The colours by name: in light, in dark, on paper."""
    found = [dict(re.findall(r"--(\w+): (#\w{6});", line)) for line in STYLE.splitlines() if "--ink:" in line]
    assert len(found) == 3
    return found


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark", "print"])
def test_texts_can_be_read(palette: dict[str, str]) -> None:
    """The contrast that WCAG 2 asks for: 4.5 to 1 for texts."""

    def light(name: str) -> float:
        parts = [int(palette[name][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for text in ("ink", "soft", "back"):
        for ground in ("paper", "box"):
            low, high = sorted([light(text), light(ground)])
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_tools_that_know_no_colours_by_name() -> None:
    """What is not for browsers alone has colours that every tool knows."""
    for drawing in (graph(program(GOOD)), plotted(CheckReport("none.expr", {}, ()))):
        style = ET.fromstring(drawing).find(f"{SVG}style")
        assert style is not None and style.text is not None
        before, browsers = style.text.split("@supports")
        assert "var(" not in before and browsers.count("var(") > 3
