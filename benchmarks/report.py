"""What was measured, as lines on the terminal and as docs/benchmarks.md with its plot.

The page's own words stand in it and stay; what stands between its two marks is written anew.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.contestants import CONTESTANTS
from benchmarks.program import PRECISIONS, SIZES
from benchmarks.starting import Started
from benchmarks.timing import Times

TITLES = {each.name: each.title for each in CONTESTANTS}
GOALS = {"hand": 0.75, "autograd": 0.2, "torch": 0.35, "jax": 0.4, "resident": 0.7}
BEGIN, END = "<!-- measured: written by benchmarks/run.py -->", "<!-- end of what was measured -->"


@dataclass(frozen=True)
class Row:
    """One case's times; ``derivative`` tells that its value is a Hessian or a Jacobian, which the geometric means leave out."""

    name: str
    size: str
    precision: str
    dimensions: str
    derivative: bool
    times: Times

    def ratio(self, peer: str, own: str = "gradc") -> float | None:
        """gradc's time as a part of a peer's."""
        own = own if own in self.times.rounds else "gradc"
        return self.times.ratio(own, peer) if peer in self.times.rounds else None


def seconds(time: float) -> str:
    return f"{time * 1e6:.1f} µs" if time < 1e-3 else f"{time * 1e3:.2f} ms" if time < 1 else f"{time:.2f} s"


def number(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}" if ratio >= 0.095 else f"{ratio:.3f}"


def line(row: Row) -> str:
    """A row for the terminal: everyone's time, and gradc's as a part of it."""
    own = seconds(row.times.median("gradc"))
    others = (f"{name} {seconds(row.times.median(name)):>9} ({number(row.ratio(name))})" for name in row.times.rounds if name != "gradc")
    return f"{row.name:22}{row.size:7}{row.precision:8}  gradc {own:>9}   " + "   ".join(others)


def mean(rows: Iterable[Row], peer: str, own: str = "gradc") -> float | None:
    """The geometric mean of gradc's times as parts of a peer's."""
    found = [math.log(ratio) for row in rows if not row.derivative and (ratio := row.ratio(peer, own)) is not None]
    return math.exp(sum(found) / len(found)) if found else None


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def goals(rows: Sequence[Row]) -> str:
    """Geometric means against the goals, over all sizes and precisions and at each size."""
    head = ["gradc's time as a part of", "goal", "measured", "with workers=2", *SIZES]
    by_size = {size: [row for row in rows if row.size == size] for size in SIZES}
    body = []
    for peer, goal in GOALS.items():
        if mean(rows, peer) is not None:
            body.append([TITLES[peer], str(goal), *(number(mean(rows, peer, own)) for own in ("gradc", "gradc2"))])
            body[-1] += [number(mean(by_size[size], peer)) for size in SIZES]
    worst = sorted(((ratio, row) for row in rows if (ratio := row.ratio("hand"))), key=lambda each: -each[0])
    slow = [f"{row.name} {row.size} {row.precision} {ratio:.2f}" for ratio, row in worst if ratio > 1.1]
    told = f"Slower than 1.1 times the hand-written: {len(slow)} of {len(worst)} cases" + (f" ({'; '.join(slow)})." if slow else ".")
    return table(head, body) + "\n" + told + "\n"


def times(rows: Sequence[Row], precision: str, derivative: bool) -> str:
    """A table of cases: gradc's time, and it as a part of each other's."""
    chosen = [row for row in rows if row.precision == precision and row.derivative is derivative]
    peers = [name for name in TITLES if name not in ("gradc", "gradc2") and any(name in row.times.rounds for row in chosen)]
    workers = any("gradc2" in row.times.rounds for row in chosen)
    head = ["program", "size", "gradc", *(["workers=2"] if workers else []), *(f"of {TITLES[peer]}" for peer in peers)]
    body = []
    for row in chosen:
        own = [seconds(row.times.median(name)) if name in row.times.rounds else "" for name in ("gradc", "gradc2")[: 1 + workers]]
        body.append([row.name, row.dimensions, *own, *(number(row.ratio(peer)) for peer in peers)])
    return table(head, body)


def memory(peaks: dict[str, dict[str, int]]) -> str:
    """Peak megabytes beyond the arguments, and gradc's as a part of JAX's."""
    names = [name for name in TITLES if any(name in found for found in peaks.values())]
    head = ["program", *(TITLES[name] for name in names), "gradc of jax.jit"]
    body, ratios = [], []
    for program, found in peaks.items():
        ratio = found["gradc"] / found["jax"] if found.get("jax") else None
        ratios += [ratio] if ratio is not None else []
        body.append([program, *(f"{found[name] / 1e6:.1f}" if name in found else "" for name in names), number(ratio)])
    middle = f"\nThe median of the last column is {number(float(np.median(ratios)))}; the goal is 0.2.\n" if ratios else ""
    return table(head, body) + middle


def started(found: Sequence[Started]) -> str:
    return table(["what", "takes", "compared"], ([each.what, seconds(each.seconds), each.goal] for each in found)) if found else ""


def machine() -> str:
    """The machine, the versions, and how busy it is, in a sentence each."""
    try:
        model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        model = None
    simd = [each for each in ("AVX512_SKX", "AVX512F", "AVX2") if np._core._multiarray_umath.__cpu_features__.get(each)]
    processor = f"{model[1] if model else platform.processor() or platform.machine()}, {os.cpu_count()} cores, {simd[0] if simd else 'no AVX2'}"
    versions = []
    for package in ("numpy", "scipy", "autograd", "torch", "jax"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    load = f" {os.getloadavg()[0]:.1f} other processes were running at the start." if hasattr(os, "getloadavg") else ""
    return f"{platform.system()} on {processor}. Python {platform.python_version()}, {', '.join(versions)}.{load}"


def write(page: Path, machine: str, rows: Sequence[Row], peaks: dict[str, dict[str, int]], found: Sequence[Started]) -> None:
    """Put what was measured between the page's marks, and the plot beside it."""
    plotted = f"![gradc's time as a part of each other's]({page.stem}.svg)\n" if plot(rows, page.with_suffix(".svg")) else ""
    parts = [
        f"{machine}\n",
        goals(rows),
        plotted,
        *(f"### {precision}\n\n{times(rows, precision, False)}" for precision in PRECISIONS),
        "### Hessians and Jacobians\n",
        *(f"In {precision}:\n\n{times(rows, precision, True)}" for precision in PRECISIONS),
        "### Peak memory\n\nMegabytes beyond the arguments, at the large sizes, in double precision.\n\n" + memory(peaks),
        "### Before the first gradient\n\n" + started(found),
    ]
    text = page.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(each for each in parts if each) + f"\n{after}", encoding="utf-8")


def plot(rows: Sequence[Row], path: Path) -> bool:
    """A row for each program, a panel for each size: gradc's time as a part of each other's, in double precision, on a logarithmic scale."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "gradc", "svg.fonttype": "none", "font.family": "sans-serif"})
    from matplotlib import pyplot

    names = sorted({row.name for row in rows if not row.derivative}, reverse=True)
    marks = {"hand": ("#222222", "|"), "jax": ("#3266ad", "o"), "resident": ("#7fb2e5", "o"), "torch": ("#d9532c", "^"), "autograd": ("#5a9e4b", "s")}
    figure, axes = pyplot.subplots(1, len(SIZES), sharex=True, sharey=True, figsize=(11, 0.34 * len(names) + 1.6), layout="constrained")
    for axis, size in zip(axes, SIZES, strict=True):
        for peer, (colour, mark) in marks.items():
            points = [(row.ratio(peer), names.index(row.name)) for row in rows if not row.derivative and (row.size, row.precision) == (size, "float64")]
            points = [(ratio, place) for ratio, place in points if ratio is not None]
            if points:
                axis.scatter(*zip(*points, strict=True), color=colour, marker=mark, s=60 if mark == "|" else 22, linewidths=2, label=TITLES[peer], zorder=3)
        axis.axvline(1, color="#888888", linewidth=1)
        axis.set_xscale("log")
        axis.set_title(size)
        axis.grid(axis="y", color="#eeeeee")
        axis.set_yticks(range(len(names)), names)
    axes[0].set_ylim(-0.7, len(names) - 0.3)
    figure.supxlabel("gradc's time as a part of theirs (left of 1: gradc is faster)", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(marks), frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True
