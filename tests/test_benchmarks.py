"""The benchmarks: each program is what its hand-written NumPy says, and the command runs. Nothing is timed, and no peer is needed."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.memory import fresh_peak
from benchmarks.program import PRECISIONS, SIZES, case, difference, flat, names
from benchmarks.timing import Times, race

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", names())
def test_program_agrees_with_numpy_by_hand(name: str, precision: str) -> None:
    found = case(name, "tiny", precision)
    exact = [each.astype(float) if each.dtype.kind == "f" else each for each in found.arguments]
    expected = flat(found.program.by_hand(*exact))
    result = flat(found.run(*found.arguments))
    assert {str(each.dtype) for each in result} == {precision}
    assert len(result) == 1 + len(found.differentiated)
    assert difference(result, expected) < {"float64": 1e-12, "float32": 2e-4}[precision]


def test_programs_are_many_and_of_every_size() -> None:
    assert len(names()) >= 15
    assert all(tuple(case(name, "tiny").program.SIZES) == SIZES for name in names())


def test_command_runs() -> None:
    command = [sys.executable, "benchmarks/run.py", "--quick", "--only", "rosenbrock", "--peers", "hand"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert len(re.findall(r"^rosenbrock .* gradc .* hand .* \(\d", shown, re.MULTILINE)) == 2
    assert "| NumPy by hand | 0.75 |" in shown and "statements" in shown


def test_unknown_name_is_refused() -> None:
    done = subprocess.run([sys.executable, "benchmarks/run.py", "--only", "rosenbrok"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "'rosenbrok' is none of" in done.stderr and "Traceback" not in done.stderr


def test_turns_go_round() -> None:
    """Everyone has as many rounds; those with threads of their own come last; within a group the first of a round changes."""
    called: list[str] = []
    runs = {name: partial(called.append, name) for name in ("a", "threads", "b")}
    times = race(runs, {"threads"}, seconds=0, turn=0, least=3)
    assert {name: len(each) for name, each in times.rounds.items()} == {"a": 3, "threads": 3, "b": 3}
    # each twice: the first call of a turn is not timed
    assert called[-18::2] == called[-17::2] == ["a", "b", "threads", "b", "a", "threads", "a", "b", "threads"]


def test_page_keeps_its_words(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    row = report.Row("logistic", "large", "float64", "N=5", False, Times({"gradc": [1.0, 2.0, 9.0], "hand": [2.0, 4.0, 2.0], "jax": [4.0, 8.0, 9.0]}))
    report.write(page, "A machine.", [row], {"logistic": {"gradc": 2_000_000, "jax": 40_000_000}}, [])
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n\n{report.BEGIN}\n") and text.endswith(f"{report.END}\nafter\n") and "old" not in text and "A machine." in text
    assert "| logistic | N=5 | 2.00 s | 0.50 | 0.25 |" in text  # medians of the rounds' ratios, not ratios of the medians
    assert "| logistic | 2.0 | 40.0 | 0.050 |" in text


def test_geometric_mean_leaves_derivatives_out() -> None:
    def row(ratio: float, derivative: bool) -> report.Row:
        return report.Row("a", "tiny", "float64", "", derivative, Times({"gradc": [ratio], "hand": [1.0]}))

    assert report.mean([row(0.5, False), row(2.0, False), row(0.001, True)], "hand") == pytest.approx(1.0)


def test_peak_memory_sees_a_temporary() -> None:
    """The hand-written least squares squares a million residuals: 8 MB each, and two at a time."""
    peak = fresh_peak("least_squares", "hand")
    assert peak is not None and 8e6 < peak < 40e6
