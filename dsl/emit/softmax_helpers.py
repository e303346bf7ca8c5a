"""Run-time helpers for softmax and what stands beside it, copied as they stand into the generated modules that call them (see helpers.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsl.emit.helpers import _ones


def _top(x: NDArray[Any], axis: int | tuple[int, ...] | None, least: float | None = -np.inf) -> NDArray[Any]:
    """The largest entries along axes, which are kept, or at least so much; without that there must be some. Of many short rows those of a turned copy
    are found several times as fast."""
    if axis == -1 and 1 < x.shape[-1] <= 32 < x.size // x.shape[-1]:
        columns = np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T)
        out: NDArray[Any] = np.maximum.reduce(columns, axis=0, initial=least).reshape(*x.shape[:-1], 1)
    else:
        out = np.maximum.reduce(x, axis=axis, keepdims=True, initial=least)
    return out


def _added(x: NDArray[Any], axis: int | tuple[int, ...] | None) -> NDArray[Any]:
    """The sums along axes, which are kept."""
    if axis == -1 and x.ndim:
        ones = _ones(x.shape[-1], x.dtype)
        out: NDArray[Any] = (x.dot(ones) if x.ndim < 3 else x @ ones)[..., None]
    else:
        out = np.add.reduce(x, axis=axis, keepdims=True)
    return out


@np.errstate(divide="ignore", over="ignore")
def _logsumexp(x: NDArray[Any], axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> NDArray[Any]:
    """log(sum(exp(x))), shifted by the largest entry, if that is finite; -inf over no entries."""
    most = float(np.finfo(x.dtype).max)
    top = np.minimum(_top(x, axis, -most), most)
    out: NDArray[Any] = np.log(_added(np.exp(x - top), axis)) + top
    return out if keepdims else out.squeeze(axis)[()]


@np.errstate(invalid="ignore", over="ignore")
def _softmax(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1, out: Any = None) -> NDArray[Any]:
    """exp(x) / sum(exp(x)), shifted by the largest entry."""
    e: NDArray[Any] = np.subtract(x, _top(x, axis), out=out)
    np.exp(e, out=e)
    e /= _added(e, axis)
    return e


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _log_softmax(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1, out: Any = None) -> NDArray[Any]:
    """x - logsumexp(x), shifted by the largest entry."""
    z: NDArray[Any] = np.subtract(x, _top(x, axis), out=out)
    z -= np.log(_added(np.exp(z), axis))
    return z


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _softmax_and_log(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1, out: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Softmax and its logarithm, of one exponential."""
    z: NDArray[Any] = np.subtract(x, _top(x, axis), out=out)
    e: NDArray[Any] = np.exp(z)
    total = _added(e, axis)
    e /= total
    z -= np.log(total)
    return e, z


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _softmax_and_picked(x: NDArray[Any], places: NDArray[Any], axis: int = -1, out: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """The softmax along an axis, and its logarithm at one place of each row along it; axes that the places lack are the last."""
    e: NDArray[Any] = np.subtract(x, _top(x, axis), out=out)
    if places.ndim == 1 and axis % x.ndim == 1:
        picked: NDArray[Any] = e[np.arange(len(x)), places]
    else:
        open_axes = (axis % x.ndim, *range(places.ndim + 1, x.ndim))
        picked = np.take_along_axis(e, np.expand_dims(places, open_axes), axis).squeeze(axis)
    np.exp(e, out=e)
    total = _added(e, axis)
    e /= total
    picked -= np.log(total.squeeze(axis))
    return e, picked


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _softmax_and_logsumexp(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1, out: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Softmax and log(sum(exp(x))), which keeps its axes, of one exponential."""
    most = float(np.finfo(x.dtype).max)
    top = np.minimum(_top(x, axis, -most), most)
    e: NDArray[Any] = np.subtract(x, top, out=out)
    np.exp(e, out=e)
    total = _added(e, axis)
    # the least sum is that of no entry but -inf
    e /= np.maximum(total, 1.0)
    return e, np.log(total) + top
