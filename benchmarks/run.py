"""Times gradc side by side with NumPy by hand and with the libraries that are installed, and writes docs/benchmarks.md.

    python benchmarks/run.py                                      all of it, in some ten minutes
    python benchmarks/run.py --quick                              a look whether it runs; a table, but no page
    python benchmarks/run.py --only classifier --peers hand,jax   a row or two while working on the compiler

README.md in this folder tells how it measures.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)] * (str(ROOT) not in sys.path)  # run as a file, Python looks for modules in this folder only

from rich.console import Console  # noqa: E402
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: E402

from benchmarks import memory, report, starting  # noqa: E402
from benchmarks.contestants import CONTESTANTS, Contestant  # noqa: E402
from benchmarks.program import PRECISIONS, SIZES, Case, case, difference, flat, names  # noqa: E402
from benchmarks.timing import race  # noqa: E402

TOLERANCE = {"float64": 1e-10, "float32": 1e-2}
PAGE = ROOT / "docs" / "benchmarks.md"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda choices: lambda text: [one(each, choices) for each in text.split(",")]  # noqa: E731
    peers = [each.name for each in CONTESTANTS]
    parser.add_argument("--quick", action="store_true", help="tiny and medium sizes, double precision, few rounds")
    parser.add_argument("--only", metavar="NAMES", type=listed(names()), default=names(), help=f"of these programs: {', '.join(names())}")
    parser.add_argument("--peers", metavar="NAMES", type=listed(peers), default=peers[:], help=f"of these, besides gradc: {', '.join(peers)}")
    parser.add_argument("--sizes", metavar="NAMES", type=listed(SIZES), help=f"of these: {', '.join(SIZES)}")
    parser.add_argument("--precisions", metavar="NAMES", type=listed(PRECISIONS), help=f"of these: {', '.join(PRECISIONS)}")
    parser.add_argument("--seconds", type=float, help="for the rounds of one case (default 1, quick 0.1)")
    given = parser.parse_args()
    given.whole = not (given.quick or given.sizes or given.precisions) and given.only == names() and given.peers == peers
    given.sizes = given.sizes or SIZES[: 2 if given.quick else 3]
    given.precisions = given.precisions or PRECISIONS[: 1 if given.quick else 2]
    given.seconds = given.seconds or (0.1 if given.quick else 1.0)
    return given


def one(name: str, choices: list[str]) -> str:
    if name not in choices:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(choices)}")
    return name


def measured(case: Case, contestants: list[Contestant], seconds: float) -> report.Row:
    """The times of one case, once all who take part have been held to the same value and gradients."""
    exact = [each.astype(float) if each.dtype.kind == "f" else each for each in case.arguments]
    expected = flat(case.program.by_hand(*exact))
    runs = {each.name: run for each in contestants if each.fits(case) and (run := each.build(case)) is not None}
    for name, run in runs.items():
        error = difference(flat(run()), expected)
        assert error < TOLERANCE[case.precision], f"{case.title}: {name} is off by {error:.1e}"
    own_threads = {each.name for each in contestants if each.own_threads}
    return report.Row(case.name, case.size, case.precision, case.dimensions, not case.differentiated, race(runs, own_threads, seconds))


def main() -> None:
    given = options()
    console = Console(stderr=True, highlight=False)
    contestants = [each for each in CONTESTANTS if each.installed and each.name in ("gradc", *given.peers)]
    machine = report.machine()
    missing = sorted({each.package for each in CONTESTANTS if not each.installed})
    print(machine, f"Not installed, so left out: {', '.join(missing)}.\n" if missing else "", sep="\n")
    cases = list(product(given.only, given.sizes, given.precisions))
    rows: list[report.Row] = []
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=len(cases))
        for name, size, precision in cases:
            progress.update(task, description=f"{name} {size} {precision}")
            rows.append(measured(case(name, size, precision), contestants, given.seconds))
            print(report.line(rows[-1]), flush=True)
            progress.advance(task)
        progress.update(task, description="peak memory, compile times")
        peaks = memory.peaks(given.only, contestants) if given.whole else {}
        started = starting.times(given.quick) if given.whole or given.quick else []
    print("\n" + report.goals(rows), report.started(started), sep="\n")
    if given.whole:
        report.write(PAGE, machine, rows, peaks, started)
        console.print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
