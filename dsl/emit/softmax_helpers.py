"""Run-time helpers for softmax and what stands beside it, copied as they stand into the generated modules that call them (see helpers.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


@np.errstate(divide="ignore", over="ignore")
def _logsumexp(x: NDArray[Any], axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> NDArray[Any]:
    """log(sum(exp(x))), shifted by the largest entry, if that is finite; -inf over no entries."""
    most = np.finfo(x.dtype).max
    top = np.minimum(np.maximum.reduce(x, axis=axis, keepdims=True, initial=-most), most)
    log = np.log(np.exp(x - top).sum(axis=axis, keepdims=keepdims))
    out: NDArray[Any] = log + top.reshape(log.shape)[()]
    return out


@np.errstate(invalid="ignore", over="ignore")
def _softmax(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1) -> NDArray[Any]:
    """exp(x) / sum(exp(x)), shifted by the largest entry."""
    e: NDArray[Any] = np.exp(x - np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf))
    e /= np.add.reduce(e, axis=axis, keepdims=True)
    return e


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _log_softmax(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1) -> NDArray[Any]:
    """x - logsumexp(x), shifted by the largest entry."""
    z: NDArray[Any] = x - np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    z -= np.log(np.add.reduce(np.exp(z), axis=axis, keepdims=True))
    return z


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _softmax_and_log(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1) -> tuple[NDArray[Any], NDArray[Any]]:
    """Softmax and its logarithm, of one exponential."""
    z: NDArray[Any] = x - np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    e: NDArray[Any] = np.exp(z)
    total = np.add.reduce(e, axis=axis, keepdims=True)
    e /= total
    z -= np.log(total)
    return e, z


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _softmax_and_logsumexp(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1) -> tuple[NDArray[Any], NDArray[Any]]:
    """Softmax and log(sum(exp(x))), which keeps its axes, of one exponential."""
    most = np.finfo(x.dtype).max
    top = np.minimum(np.maximum.reduce(x, axis=axis, keepdims=True, initial=-most), most)
    e: NDArray[Any] = np.exp(x - top)
    total = np.add.reduce(e, axis=axis, keepdims=True)
    e /= total
    return e, np.log(total) + top
