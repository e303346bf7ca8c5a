"""What the functions of the language mean, in NumPy and SciPy: the names by which a case of a stanza is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.special

Array = Any


def _one_hot(x: Array, num_classes: int, axis: int = -1) -> Array:
    return np.moveaxis((np.asarray(x)[..., None] == np.arange(num_classes)).astype(float), -1, axis)


def _solve_triangular(A: Array, b: Array, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False) -> Array:
    T = np.tril(A) if lower else np.triu(A)
    if unit_diagonal:
        T = T - T * np.eye(T.shape[-1]) + np.eye(T.shape[-1])
    return np.linalg.solve(T.swapaxes(-1, -2) if trans in (1, "T") else T, b)


def _each(value: int | tuple[int, ...], n: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * n


def _convolved(n: int, x: Array, w: Array, b: Array = 0.0, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Array:
    """Position by position: the sum of w times what lies under it."""
    size, steps, within = np.array(w.shape[2:]), np.array(_each(stride, n)), np.array(_each(dilation, n))
    span = (size - 1) * within
    around = [(int(each // 2), int(each - each // 2)) for each in span] if padding == "same" else [(each, each) for each in _each(padding, n)]
    x = np.pad(x, [(0, 0), (0, 0), *around])
    positions = (np.array(x.shape[2:]) - span - 1) // steps + 1
    out = np.empty((x.shape[0], w.shape[0], *positions))
    for channel in range(w.shape[0]):
        first = channel // (w.shape[0] // groups) * w.shape[1]
        for place in np.ndindex(*positions):
            under = tuple(slice(p * s, p * s + r + 1, d) for p, s, r, d in zip(place, steps, span, within, strict=True))
            out[(slice(None), channel, *place)] = (x[:, first : first + w.shape[1]][(..., *under)] * w[channel]).sum(axis=tuple(range(1, n + 2)))
    return out + np.reshape(b, (-1, *[1] * n))


def _pooled(n: int, fold: Any, fill: float, x: Array, size: Any, stride: Any = None, padding: Any = 0) -> Array:
    sizes, around = _each(size, n), [(each, each) for each in _each(padding, n)]
    x = np.pad(x, [(0, 0)] * (x.ndim - n) + around, constant_values=fill)
    wide: Array = np.lib.stride_tricks.sliding_window_view(x, sizes, tuple(range(-n, 0)))
    steps = _each(size if stride is None else stride, n)
    return fold(wide[(..., *(slice(None, None, step) for step in steps), *[slice(None)] * n)], axis=tuple(range(-n, 0)))


def _signal() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for n in (1, 2):
        found[f"conv{n}d"] = lambda *args, n=n, **keywords: _convolved(n, *args, **keywords)
        found[f"max_pool{n}d"] = lambda *args, n=n, **keywords: _pooled(n, np.max, -np.inf, *args, **keywords)
        found[f"avg_pool{n}d"] = lambda *args, n=n, **keywords: _pooled(n, np.mean, 0.0, *args, **keywords)
    return found


class At:
    """JAX's functional update: ``At(x)[i].set(v)`` stands for ``x.at[i].set(v)``."""

    def __init__(self, x: Array) -> None:
        self.out = np.array(x)

    def __getitem__(self, index: Any) -> At:
        self.index = index
        return self

    def set(self, value: Array) -> Array:
        self.out[self.index] = value
        return self.out

    def add(self, value: Array) -> Array:
        np.add.at(self.out, self.index, value)
        return self.out


class Names(dict[str, Any]):
    """What the names of an expression stand for: NumPy's functions, else those of numpy.linalg, else those of scipy.special."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__({**REFERENCE, **given})

    def __missing__(self, name: str) -> Any:
        for module in (np, np.linalg, scipy.special):
            if hasattr(module, name):
                return getattr(module, name)
        raise KeyError(name)


# what no module has, and what has JAX's defaults
REFERENCE: dict[str, Any] = {
    "At": At,
    **_signal(),
    "sigmoid": scipy.special.expit,
    "log_sigmoid": scipy.special.log_expit,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "log_cosh": lambda x: np.log(np.cosh(x)),
    "log1mexp": lambda x: np.log1p(-np.exp(-x)),
    "floored": lambda x: np.maximum(x, -1e38),
    "relu": lambda x: np.maximum(x, 0),
    "softmax": lambda x, axis=-1: scipy.special.softmax(x, axis),
    "log_softmax": lambda x, axis=-1: scipy.special.log_softmax(x, axis),
    "reciprocal": lambda x: 1 / x,
    "one_hot": _one_hot,
    "stop_gradient": lambda x: x,
    "logdet": lambda A: np.linalg.slogdet(A)[1],
    "solve_triangular": _solve_triangular,
}
