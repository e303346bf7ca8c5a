"""Ratios of generated code to the same steps written by hand, and what compiling costs.

Run it from the project's folder with ``python -m benchmarks.run``. Times come from rounds in which the contestants take turns, in one process;
a ratio is the median of the rounds' ratios. README.md in this folder tells more.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import dsl

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "examples" / "sigmoid_sum.expr"
TWELVE_LINES = ROOT / "examples" / "logistic.expr"
SIZES = ((3, 3, 2), (512, 256, 128))
TARGETS = {(3, 3, 2): 1.2, (512, 256, 128): 1.1}

Run = Callable[[], object]


def forward_by_hand(X: Any, W: Any) -> tuple[Any, tuple[Any, Any, Any]]:
    N = X @ W
    S = 1 / (1 + np.exp(-N))
    L = S.sum()
    return L, (S, W, X)


def backward_by_hand(tape: tuple[Any, Any, Any], dL: float = 1.0) -> tuple[Any, Any]:
    S, W, X = tape
    dN = dL * (S * (1 - S))
    return dN @ W.T, X.T @ dN


def by_hand(X: Any, W: Any) -> object:
    L, tape = forward_by_hand(X, W)
    return L, backward_by_hand(tape)


def repeats(run: Run, seconds: float) -> int:
    """How many calls take about so long."""
    count = 1
    while True:
        start = perf_counter()
        for _ in range(count):
            run()
        taken = perf_counter() - start
        if taken > seconds / 4:
            return max(1, round(count * seconds / taken))
        count *= 2


def compare(runs: dict[str, Run], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Seconds for a call, by contestant and round. The order turns from round to round, so that no one is always first."""
    counts = {name: repeats(run, seconds) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            run = runs[name]
            start = perf_counter()
            for _ in range(counts[name]):
                run()
            times[name].append((perf_counter() - start) / counts[name])
    return times


def ratio(times: dict[str, list[float]], one: str, other: str) -> float:
    return statistics.median(a / b for a, b in zip(times[one], times[other], strict=True))


def shown(seconds: float) -> str:
    return f"{seconds * 1e6:9.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:9.2f} ms" if seconds < 1 else f"{seconds:9.2f} s "


def book(rounds: int, seconds: float) -> None:
    """The book's program against the same steps by hand, and against what else is installed."""
    module = dsl.load(BOOK)

    def pair(X: Any, W: Any) -> object:
        L, tape = module.forward(X, W)
        return L, module.backward(tape)

    for size in SIZES:
        n, d, k = size
        rng = np.random.default_rng(0)
        X, W = rng.normal(size=(n, d)), rng.normal(size=(d, k))
        runs: dict[str, Run] = {
            "by hand": lambda X=X, W=W: by_hand(X, W),
            "forward and backward": lambda X=X, W=W: pair(X, W),
            "value_and_grad": lambda X=X, W=W: module.value_and_grad(X, W),
            **peers(X, W),
        }
        times = compare(runs, rounds, seconds)
        print(f"\nsum(sigmoid(X @ W)), X {n}x{d}, W {d}x{k}; NumPy arrays in and out")
        for name in runs:
            goal = f"   goal {TARGETS[size]}" if name == "forward and backward" else ""
            print(f"  {name:22}{shown(statistics.median(times[name]))}   {ratio(times, name, 'by hand'):6.2f} x by hand{goal}")


def peers(X: Any, W: Any) -> dict[str, Run]:
    """The same program in the libraries that are installed."""
    makers = {"autograd": autograd_run, "torch": torch_run, "jax": jax_run}
    return {name: make(X, W) for name, make in makers.items() if name not in missing()}


def missing() -> list[str]:
    return [name for name in ("autograd", "torch", "jax") if importlib.util.find_spec(name) is None]


def autograd_run(X: Any, W: Any) -> Run:
    import autograd
    import autograd.numpy as anp

    run = autograd.value_and_grad(lambda arrays: anp.sum(1 / (1 + anp.exp(-anp.dot(arrays[0], arrays[1])))))
    return lambda: run((X, W))


def torch_run(X: Any, W: Any) -> Run:
    import torch

    def run() -> object:
        x, w = torch.from_numpy(X).requires_grad_(), torch.from_numpy(W).requires_grad_()
        loss = torch.sigmoid(x @ w).sum()
        loss.backward()
        return loss.item(), x.grad.numpy(), w.grad.numpy()

    return run


def jax_run(X: Any, W: Any) -> Run:
    import jax

    jax.config.update("jax_enable_x64", True)
    run = jax.jit(jax.value_and_grad(lambda x, w: jax.nn.sigmoid(x @ w).sum(), argnums=(0, 1)))

    def arrays() -> object:
        value, (dx, dw) = run(X, W)
        return float(value), np.asarray(dx), np.asarray(dw)

    return arrays


def process(command: list[str], runs: int) -> float:
    """Median seconds of a whole process. The first one, which fills caches, is not counted."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    times = []
    for _ in range(runs + 1):
        start = perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
        times.append(perf_counter() - start)
    return statistics.median(times[1:])


def importing(runs: int) -> float:
    """Median seconds that importing a generated module takes in a process that has imported NumPy."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "book.py").write_text(dsl.compile_file(BOOK), encoding="utf-8")
        code = "import time, numpy; start = time.perf_counter(); import book; print(time.perf_counter() - start)"
        environment = {**os.environ, "PYTHONPATH": folder}
        times = [
            float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment).stdout) for _ in range(runs + 1)
        ]
    return statistics.median(times[1:])


def processes(runs: int) -> None:
    gradc = [sys.executable, "-m", "dsl"]
    print("\nwhole processes, medians")
    print(f"  {'python -c pass':46}{shown(process([sys.executable, '-c', 'pass'], runs))}")
    print(f"  {'gradc --version':46}{shown(process([*gradc, '--version'], runs))}   goal 0.2 s")
    command = ["compile", str(TWELVE_LINES), "-o", "-"]
    print(f"  {f'gradc compile {TWELVE_LINES.name} -o -':46}{shown(process([*gradc, *command], runs))}   goal 0.8 s")
    print(f"  {'the same with --no-format':46}{shown(process([*gradc, *command, '--no-format'], runs))}")
    print(f"  {'import of a generated module, beyond NumPy':46}{shown(importing(runs))}   goal 5 ms")


def chain(length: int) -> str:
    """A program of so many statements, each of which uses the one before."""
    lines = ["param x0: [N]", *(f"x{i} = tanh(x{i - 1}) + 0.1 * x{i - 1}" for i in range(1, length)), f"L = sum(x{length - 1})"]
    return "\n".join(lines)


def compiling(short: int, long: int) -> None:
    print("\na chain of statements: parsed, differentiated, written, formatted")
    taken = {}
    for length in (short, long):
        text = chain(length)
        plain, taken[length] = (seconds_of(partial(dsl.compile_text, text, format=format)) for format in (False, True))
        print(f"  {length:6} statements {shown(taken[length])}, of which Black {1 - plain / taken[length]:.0%}" + ("   goal 30 s" if length == 5000 else ""))
    print(f"  {long // short} times the statements take {taken[long] / taken[short]:.2f} times as long   goal 5")


def seconds_of(run: Run) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--quick", action="store_true", help="few and short rounds, and short chains: a look, not a measurement")
    quick = options.parse_args().quick
    print(f"Python {sys.version.split()[0]}, NumPy {np.__version__}, {os.cpu_count()} cores")
    if missing():
        print(f"not installed, so left out: {', '.join(missing())}")
    book(*((3, 0.005) if quick else (41, 0.1)))
    processes(1 if quick else 9)
    compiling(*((50, 200) if quick else (1250, 5000)))


if __name__ == "__main__":
    main()
