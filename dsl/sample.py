"""Arguments for a program, drawn from the domains that it declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsl.nodes import Declared, Program
from dsl.types import Dim

SIZES = (5, 4, 6, 7, 3, 8, 9, 10, 11)
FREE = (4,)


def dimensions(program: Program) -> list[str]:
    """The names of the arguments' dimensions, in their order."""
    symbols = [symbol for each in program.arguments for dim in each.node.type.shape or () for symbol in dim.symbols()]
    return list(dict.fromkeys(symbol.name for symbol in symbols))


def sizes_of(program: Program, given: Mapping[str, int], scale: int = 1) -> dict[str, int]:
    """A size for each dimension of the arguments: the given one, else a small one of its own, times ``scale``."""
    return {name: given.get(name, SIZES[i % len(SIZES)] * scale) for i, name in enumerate(dimensions(program))}


def free_shapes(program: Program, sizes: Mapping[str, int]) -> list[tuple[int, ...]]:
    """Shapes for the arguments that may have any: a vector of its own, one that goes along a dimension, and a number, which fits everywhere."""
    if all(each.node.type.shape is not None for each in program.arguments):
        return [FREE]
    return list(dict.fromkeys([FREE, *((size,) for size in list(sizes.values())[::-1]), ()]))


def sample(program: Program, sizes: Mapping[str, int], rng: np.random.Generator, free: tuple[int, ...] = FREE) -> dict[str, NDArray[Any]]:
    """An array for each argument that is not a const, by name; ``free`` is the shape of those that may have any."""
    return {each.node.name: _one(each, sizes, free, rng) for each in program.arguments if each.node.role != "const"}


def _one(each: Declared, sizes: Mapping[str, int], free: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    shape = free if each.node.type.shape is None else tuple(dim.evaluate(sizes) for dim in each.node.type.shape)
    if each.node.type.dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    low, high = _bound(each.low, sizes), _bound(each.high, sizes)
    if each.node.type.dtype == "int":
        # an index that nothing bounds must fit into every axis
        stop = high if high is not None else min([*sizes.values(), *shape, 3])
        start = low if low is not None else 0
        return np.asarray(rng.integers(int(start), max(int(stop), int(start) + 1), shape))
    if low is not None or high is not None:
        start = low if low is not None else (high or 0.0) - 2.0
        stop = high if high is not None else start + 2.0
        return np.asarray(start + (stop - start) * rng.uniform(0.02, 0.98, shape))
    return _float(each.words, shape, rng)


def _float(words: tuple[str, ...], shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    x = np.asarray(rng.standard_normal(shape))
    if "positive" in words:
        return np.asarray(np.exp(x / 2))
    if "nonnegative" in words:
        return np.abs(x)
    if "unit" in words:
        return np.asarray(rng.uniform(0.05, 0.95, shape))
    if len(shape) < 2:
        return x
    identity = np.eye(shape[-1])
    if "spd" in words:
        return np.asarray(x @ x.swapaxes(-1, -2) + shape[-1] * identity)
    if "symmetric" in words:
        return np.asarray((x + x.swapaxes(-1, -2)) / 2)
    if "triangular" in words:
        return np.asarray(np.tril(x) + 2 * identity)
    return np.asarray(x + 3 * identity) if "nonsingular" in words else x


def _bound(value: object, sizes: Mapping[str, int]) -> float | None:
    if isinstance(value, Dim):
        return value.evaluate(sizes)
    return float(value) if isinstance(value, (int, float)) else None
