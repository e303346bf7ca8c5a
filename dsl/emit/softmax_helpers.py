"""Run-time helpers for a softmax and what stands beside it, of one exponential: copied into the modules that call them (see helpers.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def _softmax_and_log(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1) -> tuple[NDArray[Any], NDArray[Any]]:
    """exp(x) / sum(exp(x)) and its logarithm, shifted by the largest entry."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        z = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
        e = np.exp(z)
        total = e.sum(axis=axis, keepdims=True)
        e /= total
        z -= np.log(total)
    return e, z


def _softmax_and_logsumexp(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1) -> tuple[NDArray[Any], NDArray[Any]]:
    """exp(x) / sum(exp(x)) and log(sum(exp(x))), which keeps its axes, shifted by the largest entry; -inf over no entries."""
    top = x.max(axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        e = np.exp(x - top)
        total = e.sum(axis=axis, keepdims=True)
        e /= total
        log = np.log(total) + top
    return e, log


__all__ = ["_softmax_and_log", "_softmax_and_logsumexp"]
