"""What comes before the first gradient: compiling, importing, and how compiling grows with a program."""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.program import case, program
from dsl.api import compile_text

ROOT = Path(__file__).resolve().parent.parent

GRADC = """
import sys, numpy as np, dsl
arguments = np.load("arguments.npz")
dsl.load("classifier.expr").value_and_grad(*arguments.values())
"""
JAX = """
import numpy as np
from benchmarks.peers import jax_function
from benchmarks.programs import classifier
arguments = np.load("arguments.npz")
jax_function(classifier.formula, (2, 3, 4, 5))(*arguments.values())[0].block_until_ready()
"""
IMPORT = "import time, numpy; start = time.perf_counter(); import classifier; print(time.perf_counter() - start)"


@dataclass(frozen=True)
class Started:
    what: str
    seconds: float
    goal: str = ""


def process(command: list[str], folder: str, runs: int) -> list[tuple[float, str]]:
    """Seconds and output of whole processes. The first one, which fills caches, is not counted."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(ROOT)])}
    # installed packages are compiled to bytecode, JAX and NumPy by pip; here the first run does it for this checkout
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    found = []
    for _ in range(runs + 1):
        start = perf_counter()
        shown = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True, cwd=folder, env=environment).stdout
        found.append((perf_counter() - start, shown))
    return found[1:]


def chain(length: int) -> str:
    """A program of so many statements, each of which uses the one before."""
    lines = ["param x0: [N]", *(f"x{i} = tanh(x{i - 1}) + 0.1 * x{i - 1}" for i in range(1, length)), f"L = sum(x{length - 1})"]
    return "\n".join(lines)


def times(quick: bool) -> list[Started]:
    """Compile, start-up and import times of the classifier, and the times of two long programs."""
    runs, short, long = (1, 50, 200) if quick else (7, 2_500, 10_000)
    return [*first_gradient(runs), *long_programs(short, long)]


def first_gradient(runs: int) -> list[Started]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "arguments.npz", **{f"a{i}": each for i, each in enumerate(case("classifier", "medium").arguments)})
        (Path(folder) / "classifier.expr").write_text(program("classifier").EXPR, encoding="utf-8")

        def median(*command: str) -> float:
            return statistics.median(seconds for seconds, _ in process([*command], folder, runs))

        gradc = median("-c", GRADC)
        if importlib.util.find_spec("jax"):
            jax = median("-c", JAX)
            found.append(Started("classifier, source to first gradient: jax.jit", jax))
            found.append(Started("the same: gradc", gradc, f"{gradc / jax:.2f} of jax.jit's; goal 0.5"))
        else:
            found.append(Started("classifier, source to first gradient: gradc", gradc))
        found.append(Started("gradc --help, a whole process", median("-m", "dsl", "--help"), "goal 0.2 s"))
        found.append(Started("gradc compile classifier.expr, a whole process", median("-m", "dsl", "compile", "classifier.expr", "--force"), "goal 0.8 s"))
        imports = [float(shown) for _, shown in process(["-c", IMPORT], folder, runs)]
        found.append(Started("import of the generated module, beyond NumPy", statistics.median(imports), "goal 5 ms"))
    return found


def long_programs(short: int, long: int) -> list[Started]:
    taken = {}
    for length in (short, long):
        start = perf_counter()
        compile_text(chain(length))
        taken[length] = perf_counter() - start
    growth = f"{taken[long] / taken[short]:.1f} times that, for 4 times as many; goal 60 s for 10,000"
    return [Started(f"compiling {short:,} statements", taken[short]), Started(f"compiling {long:,} statements", taken[long], growth)]
