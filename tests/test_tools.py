"""Explanations in the programs that they are made for: pages in a real Chromium, documents through a real LaTeX.

These tests need both, and playwright: ``pip install -e '.[browser]'``, then ``python -m pytest -m tools``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from dsl.api import compile_path
from dsl.files import read
from dsl.views.explain import explained

pytestmark = pytest.mark.tools
ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.expr"))
# a page of each kind: the book's, a long one, one with loops, one of undeclared shape
PAGES = ("sigmoid_sum", "attention", "rnn", "newton_logistic")
PANES = ("source", "diagram", "derivation", "code")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for stem in PAGES:
        path = ROOT / "examples" / f"{stem}.expr"
        (folder / f"{stem}.html").write_text(explained(compile_path(path), read(path), "html"), encoding="utf-8")
    return {stem: folder / f"{stem}.html" for stem in PAGES}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = which("chromium") or which("chromium-browser") or which("google-chrome")
    assert chromium, "install Chromium: apt-get install chromium"
    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        running.close()


class Visit:
    """A page in a tab of its own, offline, with what it says and asks for."""

    def __init__(self, browser: Any, path: Path, width: int = 1400, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *problem: object) -> None:
        self.context.close()

    def lit(self, pane: str) -> list[str]:
        """The steps that are highlighted in a part of the page."""
        found: list[str] = self.page.evaluate(f"[...document.querySelectorAll('#{pane} .on')].map(each => each.dataset.step)")
        return sorted({step for each in found for step in each.split()}, key=int)

    def text(self, place: str) -> str:
        return str(self.page.text_content(place)).strip()


@pytest.mark.parametrize("stem", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_quiet_and_asks_for_nothing(browser: Any, pages: dict[str, Path], stem: str, scheme: str) -> None:
    with Visit(browser, pages[stem], scheme=scheme) as visit:
        visit.page.mouse.wheel(0, 4000)
        visit.page.wait_for_timeout(50)
        assert visit.said == []
        assert [url for url in visit.asked if not url.startswith(("file:", "data:"))] == []
        ink, paper = visit.page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.querySelector('.pane')).backgroundColor]")
        light = [sum(int(part) for part in each[4:-1].split(",")) / 3 for each in (ink, paper)]
        assert light[0] - light[1] > 128 if scheme == "dark" else light[1] - light[0] > 128


@pytest.mark.parametrize("stem", PAGES)
@pytest.mark.parametrize("width", [320, 400, 800, 1400])
def test_a_page_never_scrolls_sideways(browser: Any, pages: dict[str, Path], stem: str, width: int) -> None:
    with Visit(browser, pages[stem], width=width) as visit:
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        visit.page.click("summary")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("pane", PANES)
def test_pointing_at_a_step_shows_it_everywhere(browser: Any, pages: dict[str, Path], pane: str) -> None:
    with Visit(browser, pages["sigmoid_sum"]) as visit:
        for each in visit.page.query_selector_all(f"#{pane} [data-step='2']")[:2]:
            visit.page.mouse.move(1, 1)
            assert visit.lit("source") == []
            each.hover(position=None if pane != "source" else {"x": 3, "y": 5})
            assert all("2" in visit.lit(other) for other in PANES)
        visit.page.mouse.move(1, 1)
        assert all(visit.lit(other) == [] for other in PANES)


@pytest.mark.parametrize("stem", ["sigmoid_sum", "attention"])
@pytest.mark.parametrize("pane", PANES)
def test_focus_shows_a_step_everywhere(browser: Any, pages: dict[str, Path], stem: str, pane: str) -> None:
    with Visit(browser, pages[stem]) as visit:
        for each in visit.page.query_selector_all(f"#{pane} [data-step][tabindex='0']"):
            each.focus()
            steps = str(each.get_attribute("data-step")).split()
            for other in PANES:
                assert set(steps) <= set(visit.lit(other)) or other == "derivation", (steps, other)
            assert all(f"Step {step}:" in visit.text("#said") for step in steps)


def test_the_keyboard_reaches_steps_in_order_and_pins_one(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["sigmoid_sum"]) as visit:
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the derivation"
        for _ in range(2):
            visit.page.keyboard.press("Tab")
        for step in ("1", "2", "3"):
            assert visit.page.evaluate("document.activeElement.dataset.step") == step
            if step != "3":
                visit.page.keyboard.press("Tab")
        visit.page.keyboard.press("Enter")
        assert visit.page.get_attribute("nav button[data-step='3']", "aria-pressed") == "true"
        visit.page.evaluate("document.activeElement.blur()")
        assert all(visit.lit(pane) == ["3"] for pane in ("source", "diagram", "derivation"))
        visit.page.keyboard.press("Escape")
        assert all(visit.lit(pane) == [] for pane in PANES)


def test_the_slider_moves_the_entry_along_the_curve(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["sigmoid_sum"]) as visit:
        page = visit.page
        page.select_option("#entry", index=1)
        curve = page.evaluate("JSON.parse(document.getElementById('panel').textContent).curves[1]")
        assert curve["name"] in visit.text("#chart")
        page.focus("#nudge")
        page.keyboard.press("Home")
        for at in (0, 1):
            assert float(visit.text("#true")) == pytest.approx(curve["outputs"][at], rel=1e-3)
            tangent = curve["outputs"][20] + curve["slope"] * curve["offsets"][at]
            assert float(visit.text("#linear")) == pytest.approx(tangent, rel=1e-3)
            assert float(page.get_attribute("#chart .at", "cx")) == pytest.approx(64 + 562 * at / 40)
            page.keyboard.press("ArrowRight")
        page.evaluate("(nudge => { nudge.value = 20; nudge.dispatchEvent(new Event('input')); })(document.getElementById('nudge'))")
        assert visit.text("#true") == visit.text("#linear"), "at the start the tangent touches the curve"
        assert float(visit.text("#slope")) == pytest.approx(float(visit.text("#measured")), rel=1e-3)
        assert "by the tangent" in str(page.get_attribute("#nudge", "aria-valuetext"))
        low, high = page.evaluate("[...document.querySelectorAll('#chart .curve, #chart .tangent')].map(each => each.getBBox().height)")
        assert low > 0 and high > 0


def test_a_screen_reader_finds_names_for_everything(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["attention"]) as visit:
        unnamed = """[...document.querySelectorAll('select, input, button, svg[role=img], section.pane, nav')].filter(each =>
            !(each.getAttribute('aria-label') || each.getAttribute('aria-labelledby') || each.labels?.length || each.textContent.trim()))"""
        assert visit.page.evaluate(f"{unnamed}.length") == 0
        levels = visit.page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(each => Number(each.tagName[1]))")
        assert levels[0] == 1 and levels.count(1) == 1 and set(levels) == {1, 2, 3, 4}
        assert visit.page.evaluate("document.documentElement.lang") == "en"
        assert visit.page.evaluate("[...document.querySelectorAll('math')].every(each => each.getBoundingClientRect().height > 5)")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_latex_compiles(path: Path, tmp_path: Path) -> None:
    (tmp_path / "page.tex").write_text(explained(compile_path(path), read(path), "latex"), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"], cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120
    )
    assert done.returncode == 0 and (tmp_path / "page.pdf").exists(), done.stdout[-2000:]
