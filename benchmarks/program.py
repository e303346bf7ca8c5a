"""What a benchmark is: a program of benchmarks/programs, and a case of it, at one size and one precision."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

import benchmarks.programs
from dsl.api import compile_text, module_of

PRECISIONS = ("float64", "float32")
SIZES = ("tiny", "medium", "large")


def names() -> list[str]:
    return sorted(each.name for each in pkgutil.iter_modules(benchmarks.programs.__path__))


@dataclass(frozen=True)
class Case:
    """A program with its arguments."""

    name: str
    size: str
    precision: str
    program: ModuleType
    module: ModuleType  # what gradc made of it
    arguments: tuple[np.ndarray, ...]

    @property
    def run(self) -> Callable[..., Any]:
        """The generated function that is timed."""
        return getattr(self.module, "value_and_grad", self.module.value)

    @property
    def differentiated(self) -> tuple[int, ...]:
        """The places of the arguments whose gradients are wanted; none where the value itself is a derivative."""
        names = list(inspect.signature(self.run).parameters)
        return tuple(names.index(each) for each in self.module.Gradients._fields) if hasattr(self.module, "value_and_grad") else ()

    @property
    def title(self) -> str:
        return f"{self.name} {self.size} {self.precision}"

    @property
    def dimensions(self) -> str:
        return ", ".join(f"{name}={size}" for name, size in self.program.SIZES[self.size].items())


@cache
def compiled(name: str) -> ModuleType:
    return module_of(compile_text(program(name).EXPR, name, format=False), name)


def program(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.programs.{name}")


def case(name: str, size: str, precision: str = "float64") -> Case:
    """A program's case, with the same arguments each time."""
    found = program(name)
    drawn = (np.asarray(each) for each in found.inputs(np.random.default_rng(0), **found.SIZES[size]))
    arguments = tuple(each.astype(precision) if each.dtype.kind == "f" else each for each in drawn)
    return Case(name, size, precision, found, compiled(name), arguments)


def flat(result: Any) -> list[np.ndarray]:
    """A value and its gradients, or a value alone, as a list of arrays."""
    value, gradients = result if isinstance(result, tuple) else (result, ())
    return [np.asarray(each) for each in (value, *gradients)]


def difference(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest difference of two results, each array's by its largest entry."""
    assert [each.shape for each in found] == [each.shape for each in expected], ([each.shape for each in found], [each.shape for each in expected])
    return max(float(np.max(abs(a - b), initial=0.0) / max(float(np.max(abs(b), initial=0.0)), 1e-300)) for a, b in zip(found, expected, strict=True))
