"""Functions that stand in a generated module when its program uses them, copied from here word for word."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def _float_array(x: Any, name: str, rank: int | None = None) -> NDArray[Any]:
    """x as an array of float32 or float64 with the declared number of axes."""
    array = np.asarray(x)
    if array.dtype.kind in "iub" and array.dtype.kind != "b":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise TypeError(f"{name} must hold floats, not {array.dtype}")
    if rank is not None and array.ndim != rank:
        raise ValueError(f"{name} must have {rank} axes, not shape {array.shape}")
    return array


def _int_array(x: Any, name: str, rank: int | None = None) -> NDArray[Any]:
    """x as an array of integers with the declared number of axes."""
    array = np.asarray(x)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must hold integers, not {array.dtype}")
    if rank is not None and array.ndim != rank:
        raise ValueError(f"{name} must have {rank} axes, not shape {array.shape}")
    return array if array.size else array.astype(np.int64)


def _bool_array(x: Any, name: str, rank: int | None = None) -> NDArray[Any]:
    """x as an array of booleans with the declared number of axes."""
    array = np.asarray(x)
    if array.dtype.kind != "b":
        raise TypeError(f"{name} must hold booleans, not {array.dtype}")
    if rank is not None and array.ndim != rank:
        raise ValueError(f"{name} must have {rank} axes, not shape {array.shape}")
    return array


def _sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), written so that no exponential overflows."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))[()]


def _softplus(x: Any) -> Any:
    """log(1 + exp(x)), written so that no exponential overflows."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _log_sigmoid(x: Any) -> Any:
    """log(1 / (1 + exp(-x)))."""
    return -_softplus(-x)


def _logsumexp(x: NDArray[Any], axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) about the largest entry."""
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore", over="ignore"):
        out = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return out if keepdims else np.squeeze(out, axis=axis)[()]


def _softmax(x: NDArray[Any], axis: int) -> NDArray[Any]:
    """exp(x) / sum(exp(x)) about the largest entry."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def _log_softmax(x: NDArray[Any], axis: int) -> NDArray[Any]:
    """x - logsumexp(x)."""
    shifted = x - x.max(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


def _unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """A cotangent summed back to the shape of what was broadcast."""
    g = np.asarray(g)
    if g.shape == shape:
        return g
    if g.ndim < len(shape) or any(a == 1 and b > 1 for a, b in zip(g.shape[g.ndim - len(shape) :], shape, strict=True)):
        g = np.broadcast_to(g, np.broadcast_shapes(g.shape, shape))
    extra = g.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(extra + i for i, size in enumerate(shape) if size == 1 and g.shape[extra + i] != 1)
    return g.sum(axis=axes).reshape(shape)


def _scatter_add(shape: tuple[int, ...], index: tuple[Any, ...], g: Any) -> NDArray[Any]:
    """Zeros with g added at an index; entries that an index repeats accumulate."""
    g = np.asarray(g)
    out = np.zeros(shape, dtype=g.dtype)
    np.add.at(out, index, g)
    return out
