"""Programs run: arguments drawn from the domains that they declare, gradients against central differences."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dsl.api import compile_path, module_of
from dsl.nodes import Declared, Program
from dsl.sample import sample, sizes_of

Arrays = dict[str, Any]
STEP = 1e-5


@dataclass(frozen=True)
class Running:
    """A compiled program with its module."""

    program: Program
    module: ModuleType

    def arguments(self, rng: np.random.Generator, sizes: Mapping[str, int] | None = None) -> Arrays:
        return dict(sample(self.program, sizes_of(self.program, sizes or {}), rng))


@cache
def running(path: Path) -> Running:
    compiled = compile_path(path)
    return Running(compiled.program, module_of(compiled.text, path.stem))


def outputs_of(result: Any) -> list[Any]:
    """The float outputs."""
    every = list(result) if hasattr(result, "_fields") else [result]
    return [each for each in every if np.asarray(each).dtype.kind == "f"]


def cotangents_of(result: Any, rng: np.random.Generator) -> list[Any]:
    """A random cotangent for each float output."""
    return [rng.normal(size=np.shape(each)) for each in outputs_of(result)]


def slope(module: ModuleType, arguments: Arrays, name: str, direction: Any, cotangents: list[Any]) -> float:
    """The derivative of the weighted outputs along a direction: a central difference, extrapolated once (Richardson)."""

    def at(step: float) -> float:
        moved = {**arguments, name: arguments[name] + step * direction}
        return float(sum((c * out).sum() for c, out in zip(cotangents, outputs_of(module.value(**moved)), strict=True)))

    wide, narrow = ((at(step) - at(-step)) / (2 * step) for step in (2 * STEP, STEP))
    return (4 * narrow - wide) / 3


def direction_of(declared: Declared, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """A random direction that stays within the declared domain."""
    direction = rng.normal(size=shape)
    if "spd" in declared.words or "symmetric" in declared.words:
        return direction + direction.swapaxes(-1, -2)
    return np.tril(direction) if "triangular" in declared.words else direction


def assert_gradients(found: Running, arguments: Arrays, rng: np.random.Generator, stopped: tuple[str, ...] = ()) -> None:
    """Hold every gradient to a derivative along a random direction, and its shape to that of its argument."""
    declared = {each.node.name: each for each in found.program.arguments}
    result, tape = found.module.forward(**arguments)
    cotangents = cotangents_of(result, rng)
    for name, gradient in found.module.backward(tape, *cotangents)._asdict().items():
        assert np.shape(gradient) == np.shape(arguments[name])
        direction = direction_of(declared[name], np.shape(gradient), rng)
        if name not in stopped:
            expected = slope(found.module, arguments, name, direction, cotangents)
            along = (gradient * direction).sum()
            assert np.isclose(along, expected, rtol=1e-5, atol=1e-7), f"{name}: {along} is not {expected}"


def assert_agreement(found: Running, arguments: Arrays) -> None:
    """Hold ``value`` and ``value_and_grad`` to what ``forward`` and ``backward`` give."""
    result, tape = found.module.forward(**arguments)
    several = len(found.program.outputs) > 1
    again = found.module.value(**arguments)
    for one, other in zip(again if several else [again], result if several else [result], strict=True):
        assert np.allclose(one, other, rtol=1e-13, equal_nan=True)
    first = result[0] if several else result
    gradients = found.module.backward(tape)
    if np.shape(first) == () and np.asarray(first).dtype.kind == "f" and hasattr(found.module, "value_and_grad"):
        value, fused = found.module.value_and_grad(**arguments)
        assert np.allclose(value, first, rtol=1e-13, equal_nan=True)
        for name, one, other in zip(gradients._fields, fused, gradients, strict=True):
            assert np.shape(one) == np.shape(other) and np.allclose(one, other, rtol=1e-11, atol=1e-13), name
