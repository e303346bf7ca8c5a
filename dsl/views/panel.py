"""Numbers for a page: sample arguments, and what becomes of the output when one entry of them is nudged, beside what the gradient says.

The values are computed when the page is made, by the generated module itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsl.api import module_of
from dsl.nodes import Declared, Program
from dsl.pipeline import Compiled
from dsl.sample import FREE, dimensions, sample, sizes_of

SMALL = (3, 3, 2, 4, 2, 3, 4, 2)
ENTRIES = 18
POINTS = 41
REACH = 1.0
NUDGE = 1e-5
MATRICES = ("spd", "symmetric", "triangular", "nonsingular")
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Curve:
    """An entry of an argument: its value, the gradient there, the slope that nudging gives, and the output for each offset."""

    name: str
    value: float
    slope: float
    nudged: float
    offsets: tuple[float, ...]
    outputs: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """The sizes that the samples have, the output, and the curves."""

    sizes: Mapping[str, int]
    output: str
    summed: bool
    value: float
    curves: tuple[Curve, ...]

    def record(self) -> dict[str, Any]:
        return asdict(self)


def panel(compiled: Compiled) -> Panel | None:
    """Curves for some entries of the arguments that are differentiated by; None where no small sample gives finite numbers."""
    module = module_of(compiled.text, compiled.program.stem)
    names = dimensions(compiled.program)
    for given in (dict(zip(names, SMALL, strict=False)), {}):
        sizes = sizes_of(compiled.program, given)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                found = _sampled(compiled.program, module, sizes)
        except (ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError):
            continue
        if found is not None and found.curves:
            return found
    return None


def _sampled(program: Program, module: ModuleType, sizes: Mapping[str, int]) -> Panel | None:
    arguments = sample(program, sizes, np.random.default_rng(0), FREE)
    _, tape = module.forward(**arguments)
    gradients = module.backward(tape)._asdict()

    def output() -> float:
        result = module.value(**arguments)
        return float(np.sum(result[0] if len(program.outputs) > 1 else result))

    wanted = [each for each in program.arguments if each.node.name in program.wrt and not any(word in MATRICES for word in each.words)]
    each_gets = max(2, ENTRIES // max(len(wanted), 1))
    curves = [curve for each in wanted for curve in _curves(each, arguments, gradients[each.node.name], output, each_gets)]
    shape = dict(program.outputs)[program.cotangents[0][0]].type.shape
    start = output()
    return Panel(dict(sizes), program.cotangents[0][0], shape != (), start, tuple(curves[:ENTRIES])) if np.isfinite(start) else None


def _curves(each: Declared, arguments: Arrays, gradient: NDArray[Any], output: Any, most: int) -> Iterator[Curve]:
    array = np.array(arguments[each.node.name], dtype=float)
    places = list(np.ndindex(array.shape))
    for place in places[:: max(1, -(-len(places) // most))][:most]:
        value = float(array[place])
        reach = _reach(each, value)

        def at(offset: float, place: tuple[int, ...] = place) -> float:
            moved = array.copy()
            moved[place] += offset
            arguments[each.node.name] = moved
            return float(output())

        offsets = tuple(round(float(offset), 6) for offset in np.linspace(-reach, reach, POINTS))
        outputs = tuple(float(f"{at(offset):.7g}") for offset in offsets)
        nudge = NUDGE * reach
        nudged = (at(nudge) - at(-nudge)) / (2 * nudge)
        arguments[each.node.name] = array
        index = f"[{', '.join(map(str, place))}]" if place else ""
        if np.isfinite(outputs).all():
            yield Curve(f"{each.node.name}{index}", float(f"{value:.6g}"), float(f"{gradient[place]:.6g}"), float(f"{nudged:.6g}"), offsets, outputs)


def _reach(each: Declared, value: float) -> float:
    """How far an entry may be moved within its domain."""
    if "positive" in each.words or "nonnegative" in each.words:
        return min(REACH, 0.9 * abs(value)) or REACH
    if "unit" in each.words:
        return 0.9 * min(value, 1 - value)
    if isinstance(each.low, (int, float)) and isinstance(each.high, (int, float)):
        return 0.9 * min(value - each.low, each.high - value)
    return REACH


__all__ = ["Curve", "Panel", "panel"]
