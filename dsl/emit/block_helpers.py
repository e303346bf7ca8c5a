"""Run-time helpers that walk over rows in blocks: copied into the modules that call them, as those of ``helpers.py`` are."""

from __future__ import annotations

import functools
import importlib
import itertools
import threading
from typing import Any

import numpy as np

_BLOCK_BYTES = 2**22
_LEAST_ROWS = 1024
_MOST_BYTES = 2**24
_SMALL_BYTES = 2**25


@functools.cache
def _blas() -> Any:
    """What limits BLAS's own threads, where threadpoolctl is installed."""
    try:
        return importlib.import_module("threadpoolctl").ThreadpoolController()
    except ImportError:
        return None


def _in_blocks(
    block: Any,
    arrays: tuple[Any, ...],
    count: int,
    row_bytes: int,
    workers: int,
    join: tuple[Any, ...] | None = None,
    axes: tuple[int, ...] = (),
    kept: tuple[int, ...] = (),
    overlap: int = 0,
    anew: int = 0,
) -> Any:
    """What block(*arrays) gives over blocks of the arrays' rows, shared out among threads: sums, or what join makes of two, and in the end
    arrays with rows along the axes that are kept, which are put side by side. The arrays have theirs along axes, or along the first. Where blocks
    add to so many rows of the next, threads leave these for the end, and what they add to rows that are written anew then, those of so many of the
    last arrays, is added once more.

    What a block of _BLOCK_BYTES makes stays in the cache; with fewer than _LEAST_ROWS rows, calls and small products would cost more than that
    saves, unless these take more than _MOST_BYTES. Several threads take larger blocks, for they wait for each other between two steps, and
    _SMALL_BYTES are done sooner by one.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if count * row_bytes <= _BLOCK_BYTES:
        return block(*arrays)
    if count * row_bytes <= _SMALL_BYTES:
        workers = 1
    row_bytes = max(row_bytes, 1)
    most = _BLOCK_BYTES * (2 * workers if workers > 1 else 1)
    size = max(min(_LEAST_ROWS, _MOST_BYTES // row_bytes), most // row_bytes, 1)
    if workers == 1 and count <= size:
        return block(*arrays)
    size = -(-count // -(-count // size))  # blocks of about the same number of rows
    places = [(slice(None),) * axis for axis in axes or (0,) * len(arrays)]
    wholes: list[Any] = [None] * len(kept)
    lock = threading.Lock()

    def run(start: int, stop: int) -> list[Any]:
        totals: list[Any] = []
        for low in range(start, stop, size):
            rows = slice(low, min(low + size, stop))
            parts = list(block(*(array[(*place, rows)] for array, place in zip(arrays, places, strict=True))))
            for i, axis in reversed(list(enumerate(kept))):
                part = parts.pop()
                with lock:
                    if wholes[i] is None:
                        wholes[i] = np.empty((*part.shape[:axis], count, *part.shape[axis + 1 :]), part.dtype)
                wholes[i][(slice(None),) * axis + (rows,)] = part
            totals = _joined(totals, parts, join)
        return totals

    share = max(-(-count // workers), overlap)
    lows = range(0, count, share)
    shares = [(low + overlap * (low > 0), min(low + share, count)) for low in lows]
    seams = [(low, min(low + overlap, count)) for low in lows[1:] if overlap]
    rows_anew = [[array[(*place, slice(*seam))] for array, place in zip(arrays, places, strict=True)][len(arrays) - anew :] for seam in seams]
    for array in itertools.chain(*rows_anew):
        array[...] = 0.0
    totals = run(0, count) if len(shares) < 2 else _on_threads(run, shares, join)
    for seam, written in zip(seams, rows_anew, strict=True):
        added = [array.copy() for array in written]
        totals = _joined(totals, run(*seam), join)
        for array, more in zip(written, added, strict=True):
            array += more
    return [*totals, *wholes]


def _joined(totals: list[Any], parts: list[Any], join: tuple[Any, ...] | None) -> list[Any]:
    """What two blocks, or two threads, give together."""
    if not totals:
        return parts
    for i, part in enumerate(parts):
        if join is None:
            totals[i] += part
        else:
            totals[i] = join[i](totals[i], part)
    return totals


def _on_threads(run: Any, shares: list[tuple[int, int]], join: tuple[Any, ...] | None) -> list[Any]:
    """run(*share) joined, each share on a thread of its own, the first on the caller's. BLAS, whose threads would fight with these, computes
    on the thread that calls it, where threadpoolctl is there to tell it so."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import nullcontext
    from contextvars import copy_context

    blas = _blas()
    with blas.limit(limits=1, user_api="blas") if blas else nullcontext(), ThreadPoolExecutor(max(len(shares) - 1, 1)) as pool:
        others = [pool.submit(copy_context().run, run, *share) for share in shares[1:]]
        totals: list[Any] = run(*shares[0])
        for other in others:
            totals = _joined(totals, other.result(), join)
    return totals


__all__ = ["_in_blocks"]
