"""What the compiler writes, as files to be reviewed: modules of examples and of small cases, the messages of mistakes.

A golden shows a change; the property beside it tells whether what changed is right.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dsl.api import compile_path, dump_path
from dsl.diagnostics import DslError, render
from dsl.files import sealed
from dsl.pipeline import STAGES
from tests.conftest import Hold
from tests.numeric import assert_agreement, assert_gradients, running

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.expr"))
CASES = sorted((ROOT / "tests" / "cases").glob("*.expr"))
MISTAKES = sorted((ROOT / "tests" / "cases" / "mistakes").glob("*.expr"))
GOLDEN = ROOT / "tests" / "golden"

GRAPHS = [stage.name for stage in STAGES if stage.name not in ("parse", "emit", "format")]

MODULES = {
    **{path: ROOT / "generated" / f"{path.stem}.py" for path in EXAMPLES},
    **{path: GOLDEN / f"{path.stem}.py" for path in CASES},
}
MESSAGES = {path: GOLDEN / "mistakes" / f"{path.stem}.txt" for path in MISTAKES}
# programs whose every stage is kept as text
SHOWN = (ROOT / "examples" / "ridge.expr", ROOT / "tests" / "cases" / "gather.expr")
STAGED = {(path, stage): GOLDEN / "stages" / f"{path.stem}.{stage}.expr" for path in SHOWN for stage in GRAPHS}
# the one gradient that is meant not to be the derivative
STOPPED = {"idle": ("stopped",)}


def named(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in paths]


@pytest.mark.parametrize("path", named(list(MODULES)))
def test_module(path: Path, golden: Hold) -> None:
    golden(MODULES[path], sealed(compile_path(path).text))


@pytest.mark.parametrize("path", named(MISTAKES))
def test_message(path: Path, golden: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    try:
        told = compile_path(Path(path.name)).warnings
    except DslError as problem:
        told = problem.diagnostics
    golden(MESSAGES[path], "\n\n".join(map(render, told)) + "\n")


@pytest.mark.parametrize(("path", "stage"), STAGED, ids=lambda part: part if isinstance(part, str) else part.stem)
def test_stage(path: Path, stage: str, golden: Hold) -> None:
    golden(STAGED[path, stage], dump_path(path, stage))


def test_no_orphans(golden: Hold) -> None:
    kept = {*MODULES.values(), *MESSAGES.values(), *STAGED.values(), ROOT / "generated" / "__init__.py"}
    for path in sorted([*(ROOT / "generated").glob("*.py"), *(path for path in GOLDEN.rglob("*.*") if "__pycache__" not in path.parts)]):
        if path not in kept:
            golden(path, None)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("path", named(CASES))
def test_case_differentiates(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = running(path)
    arguments = found.arguments(rng)
    # the branch of a where that is not taken may be a logarithm of nothing
    with np.errstate(invalid="ignore", divide="ignore"):
        assert_gradients(found, arguments, rng, STOPPED.get(path.stem, ()))
        assert_agreement(found, arguments)


UNDER_TEST = """
from pathlib import Path
def test_one(golden): golden(Path("one.txt"), "new")
def test_two(golden): golden(Path("two.txt"), "kept")
def test_orphan(golden): golden(Path("orphan.txt"), None)
"""


def test_only_an_update_writes(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_it.py").write_text(UNDER_TEST)
    for name, text in (("one", "old"), ("two", "kept"), ("orphan", "old")):
        (tmp_path / f"{name}.txt").write_text(text)

    def run(*options: str) -> tuple[int, str, dict[str, str]]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTEST_ADDOPTS": ""})
        return done.returncode, done.stdout, {path.stem: path.read_text() for path in tmp_path.glob("*.txt")}

    before = {"one": "old", "two": "kept", "orphan": "old"}
    code, shown, files = run()
    assert code == 1 and "2 failed, 1 passed" in shown and files == before
    code, shown, files = run("--update-golden")
    assert code == 1 and "2 failed, 1 passed" in shown and files == {"one": "new", "two": "kept"}
    code, shown, files = run("--update-golden")
    assert code == 1 and "3 passed" in shown and files == {"one": "new", "two": "kept"}
    code, shown, files = run()
    assert code == 0 and "3 passed" in shown
