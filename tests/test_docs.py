"""The pages: their programs compile or fail as they say, their Python runs, the code they show is what comes out.

A fence's words say what its block is. ``expr`` compiles; ``expr error=E0304`` gives that error, and a ``text`` block after it is the message;
``expr file=a.expr`` is written to a file, and its module can be imported by the ``python`` blocks after it, which run in one namespace;
``expr file=a.expr definitions`` holds functions alone; ``python generated=a`` must stand in the module of ``a.expr``, which may be an example;
``console`` shows commands after a ``$``, each with what it prints.
"""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import dsl
from docs.refresh import refreshed
from dsl.api import module_of
from dsl.files import write_module

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")] + sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    words: list[str]
    text: str

    def word(self, key: str) -> str | None:
        return next((word.partition("=")[2] for word in self.words if word.startswith(f"{key}=")), None)


def blocks(page: Path) -> list[Block]:
    return [Block(match[1], match[2].split(), match[3]) for match in FENCE.finditer(page.read_text(encoding="utf-8"))]


FOUND = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if page.exists()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a page's files are written; what is imported from there is forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", FOUND)
def test_page(page: Path, folder: Path) -> None:
    namespace: dict[str, Any] = {}
    message = ""
    for block in blocks(page):
        if block.language == "expr":
            message = check_program(block, folder)
        elif block.language == "text" and message:
            assert block.text.strip() == message
            message = ""
        elif block.language == "python" and (stem := block.word("generated")):
            source = folder / f"{stem}.expr" if (folder / f"{stem}.expr").exists() else ROOT / "examples" / f"{stem}.expr"
            assert block.text in dsl.compile_file(source)
        elif block.language == "python":
            exec(compile(block.text, f"{page.name}", "exec"), namespace)
        elif block.language == "console":
            check_commands(block.text, folder)


def check_program(block: Block, folder: Path) -> str:
    """Compile a block's program, or have it refused. The message, where it is refused."""
    if code := block.word("error"):
        with pytest.raises(dsl.DslError) as caught:
            dsl.compile_text(block.text)
        assert [each.code.name for each in caught.value.diagnostics] == [code]
        return str(caught.value)
    name = block.word("file")
    if name is None:
        compile(dsl.compile_text(block.text), "program.py", "exec")
    else:
        (folder / name).write_text(block.text, encoding="utf-8")
        if "definitions" not in block.words:
            write_module(dsl.compile_file(folder / name), (folder / name).with_suffix(".py"))
    return ""


def gradc(arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command, run in a folder; what it prints, messages among the results."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dsl", *shlex.split(arguments)]
    return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def check_commands(text: str, folder: Path) -> None:
    """Run a console block's commands. What they print must be what stands there, but for the digits of rounding errors."""

    def steady(shown: str) -> str:
        # which result differs most from the pair's is a matter of rounding
        shown = re.sub(r"(?m)^(value_and_grad +)\([\d, ]*\) +", r"\1", shown)
        return re.sub(r"\d\.\de[-+]\d\d", "1.0e+00", shown)

    for part in re.split(r"^\$ gradc ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        done = gradc(command, folder)
        assert steady(done.stdout) == steady(expected), command
        assert done.returncode == (1 if "error[" in expected else 0), command


@pytest.mark.parametrize("page", FOUND)
def test_tables_and_generated_code_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert refreshed(text) == text, "run `python -m docs.refresh`"


KINKS = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|", (ROOT / "docs" / "language.md").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("formula", "place", "slope"), KINKS, ids=[f"{formula} at {place}" for formula, place, _ in KINKS])
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_derivative_at_a_kink(formula: str, place: str, slope: str) -> None:
    x, expected = (np.array(ast.literal_eval(each.replace("inf", "1e999")), float) for each in (place, slope))
    kink = module_of(dsl.compile_text(f"param x: {list(x.shape)}\nL = sum({formula})"), "kink")
    assert np.array_equal(kink.value_and_grad(x)[1].x, expected)
    assert np.array_equal(kink.backward(kink.forward(x)[1]).x, expected)


@pytest.mark.parametrize("page", FOUND)
def test_links(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings], target


def test_a_function_takes_one_stanza(tmp_path: Path) -> None:
    for name in ("dsl", "grammar"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for block in blocks(ROOT / "CONTRIBUTING.md"):
        if file := block.word("stanza"):
            with (tmp_path / "dsl" / "ops" / file).open("a", encoding="utf-8") as rules:
                rules.write(f"\n{block.text}")
    (tmp_path / "loss.expr").write_text("param x: [N]\nL = sum(soft_maximum(sinc(x), x))\n")
    subprocess.run([sys.executable, "-m", "dsl", "compile", "loss.expr"], check=True, cwd=tmp_path)
    loss = module_of((tmp_path / "loss.py").read_text(), "loss")
    x = np.array([-1.3, -0.4, 0.0, 0.7, 2.0])
    slope = [(loss.value([each + 1e-6]) - loss.value([each - 1e-6])) / 2e-6 for each in x]
    assert np.allclose(loss.value_and_grad(x)[1].x, slope, atol=1e-8)
    shown = subprocess.run([sys.executable, "-m", "dsl", "ops", "sinc"], check=True, cwd=tmp_path, capture_output=True, text=True).stdout
    assert "and 1 at 0" in shown


def test_commands_for_newcomers() -> None:
    """The first runs here without its set-up; the second is the one by which this runs on the project's own machine."""
    first, second = re.findall(r"^    (python3 -m venv .*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert gradc(first.partition(".venv/bin/gradc ")[2], ROOT).returncode == 0
    for path in (".ci/run", "CONTRIBUTING.md"):
        assert second in (ROOT / path).read_text(encoding="utf-8"), path


def test_exit_status_and_json(folder: Path) -> None:
    """What the pages say of the command: 0, 1 and 2, and one object a line with --format json."""
    Path("good.expr").write_text("L = sum(x)\n", encoding="utf-8")
    Path("bad.expr").write_text("L = sum(x\n", encoding="utf-8")
    assert gradc("compile good.expr", folder).returncode == 0
    done = gradc("compile bad.expr good.expr --format json", folder)
    assert done.returncode == 1 and [json.loads(line)["code"] for line in done.stdout.splitlines()] == ["E0106"]
    assert gradc("compile --nonsense good.expr", folder).returncode == 2
    Path("good.py").write_text("mine = 1\n", encoding="utf-8")
    assert gradc("compile good.expr", folder).returncode == 1 and Path("good.py").read_text(encoding="utf-8") == "mine = 1\n"
    assert gradc("compile good.expr --force", folder).returncode == 0
    assert gradc("compile good.expr -o -", folder).stdout == Path("good.py").read_text(encoding="utf-8")


def test_architecture_is_the_tree() -> None:
    """The page names no file that is not there, and leaves out none but those of operations, which are found by their kind."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:dsl|grammar|generated|docs|tests)/[\w./]*)`", text))
    assert all((ROOT / path).exists() for path in named), sorted(path for path in named if not (ROOT / path).exists())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "dsl").rglob("[!_]*.py")}
    assert {path for path in modules - named if not path.startswith("dsl/ops/")} == set()
