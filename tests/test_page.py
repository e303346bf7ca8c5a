"""The page of ``gradc explain --format html``: one file, whole, marked, and readable without anything else."""

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from dsl.api import compile_path, module_of
from dsl.diagnostics import DslError, Source
from dsl.files import read
from dsl.pipeline import compile_source
from dsl.views.explain import explained
from dsl.views.mathml import mathml
from dsl.views.panel import panel

ROOT = Path(__file__).parent.parent
PANES = ("source", "diagram", "derivation", "code")
CASES = sorted((ROOT / "tests" / "cases").glob("*.expr"))
VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """A page as the elements that it has; every element must be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str]]] = []
        self.steps: dict[str, set[str]] = {}
        self.ids: list[str] = []
        self.urls: list[str] = []
        self.data: dict[str, Any] = {}
        self.labels = self.controls = 0
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag not in VOID and not (self.open and self.open[-1][0] == "svg" and tag.endswith("/")):
            self.open.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.urls += [value for key, value in given.items() if key in ("src", "href", "action", "xlink:href") and not value.startswith(("#", "data:"))]
        self.labels += tag == "label"
        self.controls += tag in ("select", "input")
        pane = next((each.get("id", "") for name, each in self.open if "pane" in each.get("class", "").split()), "")
        if "data-step" in given:
            self.steps.setdefault(pane, set()).update(given["data-step"].split())

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1][0] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][1].get("type") == "application/json":
            self.data[self.open[-1][1]["id"]] = json.loads(data)


@cache
def shown(stem: str) -> str:
    path = ROOT / "examples" / f"{stem}.expr"
    return explained(compile_path(path), read(path), "html")


def page(text: str) -> str:
    source = Source("program.expr", text)
    return explained(compile_source(source, "program"), source, "html")


@pytest.mark.parametrize("stem", ["sigmoid_sum", "attention", "rnn", "heat_equation", "kalman"])
def test_every_step_is_marked_in_every_part(stem: str) -> None:
    found = Page(shown(stem))
    steps = set(found.data["steps"])
    assert steps and len(set(found.ids)) == len(found.ids)
    assert found.steps["source"] == found.steps["code"] == found.steps["derivation"] == steps
    assert found.steps["diagram"] == steps
    assert found.labels == found.controls == 2, "each control has its label"


@pytest.mark.parametrize("stem", ["sigmoid_sum", "attention", "rnn"])
def test_nothing_is_fetched(stem: str) -> None:
    text = shown(stem)
    assert Page(text).urls == []
    assert not re.search(r"@import|url\(|<iframe|<img|<script[^>]* src|fetch\(|XMLHttp|import\(", text)
    assert re.findall(r"https?://[^\"' <]+", text.replace("http://www.w3.org/2000/svg", "")) == []


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_case_has_a_page(path: Path) -> None:
    found = Page(explained(compile_path(path), read(path), "html"))
    assert found.urls == [] and set(found.data["steps"]) >= found.steps.get("diagram", set())


ODD = ("y = x", "param x: [N]\ny = x", "param λ: []\nσ2 = λ ** 2\nL = sigmoid(σ2)", "input i: int[N]\nparam x: [N]\nn = sum(i)\nL = sum(x)\noutput n, L")


@pytest.mark.parametrize("text", ODD)
def test_small_and_odd_programs_have_pages(text: str) -> None:
    assert Page(page(text)).urls == []


def test_what_a_program_says_does_not_become_markup() -> None:
    text = page("# <b>& a docstring</b> </script>\ninput x: [N]   # a < b & c\ny = where(x < 1, x, 2 * x)\n")
    found = Page(text)
    assert "<b>& a" not in text and "&lt;b&gt;" in text and found.steps["source"] == {"1", "2", "3"}


def formulas(text: str) -> Iterator[str]:
    yield from re.findall(r"<math.*?</math>", text, re.DOTALL)


@pytest.mark.parametrize("stem", ["sigmoid_sum", "attention", "gaussian_mixture"])
def test_formulas_are_mathml(stem: str) -> None:
    found = list(formulas(shown(stem)))
    assert len(found) > 10
    for each in found:
        root = ElementTree.fromstring(each)
        assert not any("\\" in (node.text or "") for node in root.iter()), each
        for node in root.iter():
            if node.tag in ("mfrac", "msup", "msub", "munder", "mroot"):
                assert len(node) == 2, each
            if node.tag == "msubsup":
                assert len(node) == 3, each


@pytest.mark.parametrize(
    "latex, shown",
    [
        ("X W", "<mrow><mi>X</mi><mi>W</mi></mrow>"),
        (r"\frac{1}{2}", "<mfrac><mn>1</mn><mn>2</mn></mfrac>"),
        (r"{X}^\top", '<msup><mi>X</mi><mi class="upright">⊤</mi></msup>'),
        (r"\mathit{log\_sd}", '<mi class="word">log_sd</mi>'),
        (r"\text{for each entry}", "<mtext>for each entry</mtext>"),
        ("x_i^2", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>"),
        (r"\sqrt[3]{x}", "<mroot><mi>x</mi><mn>3</mn></mroot>"),
        (r"a < \beta", "<mrow><mi>a</mi><mo>&lt;</mo><mi>β</mi></mrow>"),
        (r"\left[x\right]_{i}", '<msub><mrow><mo stretchy="true">[</mo><mi>x</mi><mo stretchy="true">]</mo></mrow><mi>i</mi></msub>'),
        (r"\unknown x", "<mrow><mtext>unknown</mtext><mi>x</mi></mrow>"),
        ("} x", "<mrow><mrow></mrow><mi>x</mi></mrow>"),
    ],
)
def test_mathml(latex: str, shown: str) -> None:
    assert mathml(latex) in (f"<math><mrow>{shown}</mrow></math>", f"<math>{shown}</math>")


def test_the_panels_numbers_are_the_programs() -> None:
    path = ROOT / "examples" / "sigmoid_sum.expr"
    compiled = compile_path(path)
    found = panel(compiled)
    assert found is not None and found.sizes == {"X.shape[0]": 3, "X.shape[1]": 3, "W.shape[1]": 2}
    module = module_of(compiled.text, "panelled")
    names = {each.name for each in found.curves}
    assert {"X[0, 0]", "W[0, 0]"} <= names
    for curve in found.curves:
        middle = len(curve.offsets) // 2
        assert curve.offsets[middle] == 0 and curve.outputs[middle] == pytest.approx(found.value, rel=1e-6)
        assert curve.nudged == pytest.approx(curve.slope, rel=1e-4, abs=1e-6)
        slope = (curve.outputs[middle + 1] - curve.outputs[middle - 1]) / (curve.offsets[middle + 1] - curve.offsets[middle - 1])
        assert slope == pytest.approx(curve.slope, rel=0.01, abs=1e-3)
    assert callable(module.value)


def test_an_entry_stays_in_its_domain() -> None:
    source = Source("program.expr", "param x: [N] positive\nparam p: [N] unit\nL = sum(log(x)) + sum(log(p) + log(1 - p))\n")
    found = panel(compile_source(source, "program"))
    assert found is not None
    for curve in found.curves:
        low, high = curve.value + curve.offsets[0], curve.value + curve.offsets[-1]
        assert low > 0 and (high < 1 or curve.name.startswith("x")) and np.isfinite(curve.outputs).all()


def test_without_graphviz_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(DslError) as problem:
        page("L = sum(x ** 2)")
    assert "gradc[views]" in problem.value.diagnostics[0].help


def test_a_program_that_no_small_sample_fits_has_no_panel() -> None:
    text = page("param x: [N]\nL = sum(log(x - 100))\n")
    assert 'id="check"' not in text and 'id="code"' in text
