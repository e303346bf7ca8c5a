"""What holds of every generated module, whatever it computes."""

import ast
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import black
import pytest

from dsl.api import compile_path, compile_text
from dsl.emit.render import WIDTH
from dsl.emit.snippets import standing
from tests.test_golden import MODULES, ROOT

PATHS = sorted(MODULES.values())
SHORT = [str(path.relative_to(ROOT)) for path in PATHS]
PARTS = ("dsl", "lark", "jinja2", "black", "click", "rich")

BLOCKED = """
import importlib.util, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {parts}:
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
for i, path in enumerate(sys.argv[1:]):
    spec = importlib.util.spec_from_file_location(f"module_{{i}}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert callable(module.forward) and callable(module.backward) and callable(module.value)
"""


def run(*command: str, **environment: str) -> None:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr


def test_strictly_typed() -> None:
    run("-m", "mypy", "--strict", *SHORT)


def test_nothing_for_a_linter_to_say() -> None:
    run("-m", "ruff", "check", "--isolated", "--no-cache", *SHORT)


def test_imports_where_the_compiler_is_not() -> None:
    run("-W", "error", "-c", BLOCKED.format(parts=PARTS), *SHORT)


def test_the_same_bytes_for_every_hash_seed(tmp_path: Path) -> None:
    for seed in ("0", "20"):
        run("-m", "dsl", "compile", *(str(path.relative_to(ROOT)) for path in MODULES), "-o", str(tmp_path / seed), PYTHONHASHSEED=seed)
    for path in PATHS:
        assert (tmp_path / "0" / path.name).read_bytes() == (tmp_path / "20" / path.name).read_bytes()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_same_when_compiled_again(path: Path) -> None:
    """Nodes of the first compilation, which is still there, are found again by the second."""
    first, second = compile_path(path, format=False), compile_path(path, format=False)
    assert first.text == second.text and first.program.checks == second.program.checks


@pytest.mark.parametrize("path", PATHS, ids=SHORT)
def test_in_blacks_style(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert black.format_str(text, mode=black.Mode(line_length=WIDTH)) == text


def test_helpers_that_black_does_not_see_are_in_its_style() -> None:
    assert standing(WIDTH)
    for text in standing(WIDTH):
        assert black.format_str(text, mode=black.Mode(line_length=WIDTH)) == text + "\n"


@pytest.mark.parametrize("path", PATHS, ids=SHORT)
def test_needs_numpy_and_nothing_else(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    imported = {alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    threads = {"importlib", "threading", "concurrent.futures", "contextlib", "contextvars"}
    assert imported - threads <= {"__future__", "functools", "itertools", "math", "typing", "numpy", "numpy.typing"}
    assert "workers" in text or not imported & threads
    assert "type: ignore" not in text


@pytest.mark.parametrize("path", PATHS, ids=SHORT)
def test_no_needless_work(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    saved = {node.target.id for node in classes["Tape"].body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    read = {node.id for node in ast.walk(functions["backward"]) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert saved <= read, "backward does not use all of the tape"
    for name in ("forward", "backward", "value", "value_and_grad"):
        code = ast.unparse(functions[name]) if name in functions else ""
        assert not re.search(r"(?<![\w.])1(\.0)? \* |[*/] 1(\.0)?(?![\w.])", code), f"{name} multiplies by one"
        assert ".T.T" not in code, f"{name} transposes a transpose"


FAULTS = """
import resource, runpy, sys
import numpy as np
module = runpy.run_path(sys.argv[1])
x = np.ones((500, 500))
for _ in range(3):
    module["value_and_grad"](x)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    module["value_and_grad"](x)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that learns from an array that is freed")
def test_memory_is_kept_from_call_to_call(tmp_path: Path) -> None:
    """A call of a fresh process gets hardly a page from the system, where its arrays of 2 MB have 500 each."""
    path = tmp_path / "kept.py"
    path.write_text(compile_text("param x: [N, N]\n\nL = sum(tanh(x @ x.T) ** 2)\n"), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    done = subprocess.run([sys.executable, "-c", FAULTS, str(path)], capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) < 50
