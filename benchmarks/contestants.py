"""Who takes part: gradc, NumPy by hand, and the libraries that are installed."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers import Run, autograd_run, jax_resident_run, jax_run, torch_compile_run, torch_run
from benchmarks.program import Case


@dataclass(frozen=True)
class Contestant:
    """One way to compute a case. ``build`` gives the call that is timed, or None where there is none; ``fits`` tells where it takes part."""

    name: str
    title: str
    build: Callable[[Case], Run | None]
    package: str = "numpy"
    fits: Callable[[Case], bool] = lambda case: True
    own_threads: bool = False  # runs threads that are not BLAS's, whose own, idle and spinning, would be in their way

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None


def gradc_run(case: Case) -> Run:
    run, arguments = case.run, case.arguments
    return lambda: run(*arguments)


def gradc_workers_run(case: Case) -> Run | None:
    run, arguments = case.run, case.arguments
    return (lambda: run(*arguments, workers=2)) if "workers" in inspect.signature(run).parameters else None


def hand_run(case: Case) -> Run:
    run, arguments = case.program.by_hand, case.arguments
    return lambda: run(*arguments)


def worth_compiling(case: Case) -> bool:
    """Where torch.compile takes part: it needs seconds for a program, and minutes for a loop, which it unrolls, or a factorisation."""
    return (case.size, case.precision) == ("medium", "float64") and case.name not in ("gaussian_process", "kalman", "lstm", "tanh_rnn")


CONTESTANTS = (
    Contestant("gradc", "gradc", gradc_run),
    Contestant("gradc2", "gradc, workers=2", gradc_workers_run, own_threads=True),
    Contestant("hand", "NumPy by hand", hand_run),
    Contestant("autograd", "autograd", autograd_run, "autograd"),
    Contestant("torch", "PyTorch", torch_run, "torch", own_threads=True),
    Contestant("compile", "torch.compile", torch_compile_run, "torch", worth_compiling, own_threads=True),
    Contestant("jax", "jax.jit", jax_run, "jax", own_threads=True),
    Contestant("resident", "jax.jit, resident", jax_resident_run, "jax", own_threads=True),
)
