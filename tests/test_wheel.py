"""The built wheel, installed elsewhere: the grammar, the rules, the library and the templates are inside."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import dsl.pipeline
from dsl.api import compile_path
from dsl.files import sealed

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as an installation does, with the back end that is here if it is here."""
    folder = tmp_path_factory.mktemp("wheel")
    here = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    done = subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", *here, "-w", folder, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


def test_what_is_inside(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = ["dsl/grammar/expr.lark", "dsl/ops/elementwise.rules", "dsl/ops/library.expr", "dsl/templates/module.py.j2"]
    modules = [str(path.relative_to(ROOT)) for path in (ROOT / "dsl").rglob("*.py")]
    assert names >= {*data, *modules}
    assert all(name.startswith(("dsl/", "gradc-")) for name in names)


def test_it_compiles_an_example_elsewhere(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    venv.create(place, symlinks=True)
    subprocess.run([sys.executable, "-m", "pip", "--python", place, "install", "-q", "--no-deps", "--no-index", wheel], check=True, capture_output=True)
    # what gradc needs is taken from where the tests run; gradc itself is not, because .pth files on this path are not followed
    needed = os.pathsep.join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    example = tmp_path / "logistic.expr"
    example.write_bytes((ROOT / "examples" / "logistic.expr").read_bytes())
    scripts = Path(sysconfig.get_path("scripts", "venv", {"base": str(place)}))
    environment = {**os.environ, "PYTHONPATH": needed, "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run([scripts / program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert Path(run("python", "-c", "import dsl; print(dsl.__file__)").strip()).is_relative_to(tmp_path)
    assert run("gradc", "--version") == f"gradc, version {dsl.pipeline.VERSION}\n"
    run("gradc", "compile", "logistic.expr")
    assert (tmp_path / "logistic.py").read_text(encoding="utf-8") == sealed(compile_path(ROOT / "examples" / "logistic.expr").text)


def test_one_version() -> None:
    assert importlib.metadata.version("gradc") == dsl.pipeline.VERSION
