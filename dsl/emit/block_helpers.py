"""Run-time helpers that walk over rows in blocks: copied into the modules that call them, as those of ``helpers.py`` are."""

from __future__ import annotations

import functools
import importlib
from typing import Any

_BLOCK_BYTES = 2**21
_LEAST_ROWS = 1024
_SMALL_BYTES = 2**19


@functools.cache
def _blas() -> Any:
    """What limits BLAS's own threads, where threadpoolctl is installed."""
    try:
        return importlib.import_module("threadpoolctl").ThreadpoolController()
    except ImportError:
        return None


def _in_blocks(block: Any, count: int, row_bytes: int, workers: int, join: tuple[Any, ...] | None = None) -> Any:
    """The sums, or what join makes, of what block(rows) gives over blocks of rows, shared out among threads.

    A block's _BLOCK_BYTES stay in the second level of the cache; with fewer than _LEAST_ROWS rows, calls and small products would cost more
    than that saves. _SMALL_BYTES are done in less time than it takes to start a thread.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    size = max(_LEAST_ROWS, _BLOCK_BYTES // max(row_bytes, 1))
    if count <= size if workers == 1 else count * row_bytes <= _SMALL_BYTES:
        return block(slice(0, count))

    def run(start: int, stop: int) -> list[Any]:
        totals = list(block(slice(start, min(start + size, stop))))
        for low in range(start + size, stop, size):
            _joined(totals, block(slice(low, min(low + size, stop))), join)
        return totals

    share = -(-count // workers)
    shares = [(low, min(low + share, count)) for low in range(0, count, share)]
    return run(0, count) if workers == 1 else _on_threads(run, shares, join)


def _joined(totals: list[Any], parts: Any, join: tuple[Any, ...] | None) -> None:
    """Put what another block gives into the totals."""
    for i, part in enumerate(parts):
        if join is None:
            totals[i] += part
        else:
            totals[i] = join[i](totals[i], part)


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
            _joined(totals, other.result(), join)
    return totals


__all__ = ["_in_blocks"]
