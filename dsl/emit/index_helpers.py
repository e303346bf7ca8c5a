"""Run-time helpers that take entries out of arrays and put or add them back, copied as they stand into the modules that call them (see helpers.py)."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _rows(x: NDArray[Any], index: NDArray[Any]) -> NDArray[Any]:
    """x[index]. `take` is up to eight times as fast, but copies an x that does not lie in one piece, and takes no uint64."""
    return x.take(index, axis=0) if x.flags.c_contiguous and index.dtype.kind == "i" else x[index]


def _set_at(x: NDArray[Any], index: Any, value: Any) -> NDArray[Any]:
    """A copy of x with `value` assigned at `index`; of repeated indices the last one wins."""
    out = np.array(x)
    out[index] = value
    return out


def _scatter(shape: tuple[int, ...], index: Any, g: NDArray[Any]) -> NDArray[Any]:
    """Zeros of `shape` with g placed at `index`, where no entry is named twice."""
    out = np.zeros(shape, g.dtype)
    out[index] = g
    return out


def _scatter_add(shape: tuple[int, ...], index: Any, g: NDArray[Any]) -> NDArray[Any]:
    """Zeros of `shape` with g added at `index`, repeated indices accumulating (the transpose of x[index])."""
    out = np.zeros(shape, g.dtype)
    if 500 < g.size and out.size < 8 * g.size:  # np.add.at is several times as fast with one flat index
        places = np.arange(out.size).reshape(shape)[index]
        np.add.at(out.reshape(-1), places.reshape(-1), g.reshape(-1))
    else:
        np.add.at(out, index, g)
    return out


def _add_rows(shape: tuple[int, ...], index: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
    """Zeros of `shape` with the rows of g added at `index`, repeated indices accumulating (the transpose of x[index]).

    np.add.at is ten times as fast with one flat index, and again twice as fast with pairs of entries as complex numbers, which add up in the
    same way. The flat index is made for so many rows at a time as leave it in the cache. Sorting, np.bincount by columns, np.add.reduceat
    and products with one-hot rows are slower, but for the last, which would spread a nan to all rows.
    """
    out = np.zeros(shape, g.dtype)
    if g.size <= 400:
        np.add.at(out, index, g)
        return out
    entries, values, rows = out.reshape(-1), g.reshape(-1), index.reshape(-1).astype(np.intp, copy=False)
    width = values.size // rows.size
    if width % 2 == 0 and g.dtype.char in "fd":
        entries, values, width = entries.view(g.dtype.char.upper()), values.view(g.dtype.char.upper()), width // 2
    if width == 1:
        np.add.at(entries, rows, values)
        return out
    step, columns = 32768 // width + 1, np.arange(width)
    for start in range(0, rows.size, step):
        flat = rows[start : start + step, None] * width + columns
        np.add.at(entries, flat.reshape(-1), values[start * width : (start + step) * width])
    return out


def _pad(x: NDArray[Any], widths: tuple[tuple[int, int], ...], fill: float = 0) -> NDArray[Any]:
    """x with so many entries of `fill` before and after it along each axis: np.pad, without the 30 us that it takes to see what is asked."""
    shape = [m + before + after for m, (before, after) in zip(x.shape, widths, strict=True)]
    out = np.full(shape, fill, x.dtype) if fill else np.zeros(shape, x.dtype)
    out[tuple([slice(before, before + m) for m, (before, _) in zip(x.shape, widths, strict=True)])] = x
    return out


def _roll(x: NDArray[Any], shift: int, axis: int) -> NDArray[Any]:
    """np.roll along one axis, an eighth of its time where x is small."""
    cut = -shift % max(x.shape[axis], 1)
    before = (slice(None),) * (axis % x.ndim)
    return np.concatenate((x[(*before, slice(cut, None))], x[(*before, slice(cut))]), axis=axis)


@functools.lru_cache(64)
def _places(
    axes: tuple[int, ...],
    size: tuple[int, ...],
    positions: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
) -> list[tuple[Any, Any]]:
    """For each place within a window, two indices: of [..., *size, *positions], where it is not on padding, and of the same entries in [..., *axes]."""
    along: list[list[tuple[int, slice, slice]]] = []
    for m, k, p, s, d, (before, _) in zip(axes, size, positions, stride, dilation, padding, strict=True):
        places = []
        for i in range(k):
            start = i * d - before  # where the first window has this place
            low = max(0, -(start // s))
            high = max(low, min(p, (m - 1 - start) // s + 1))
            first = start + low * s
            places.append((i, slice(low, high), slice(first, max(first, start + (high - 1) * s + 1), s)))
        along.append(places)
    return [((..., *(i for i, _, _ in each), *(at for _, at, _ in each)), (..., *(at for _, _, at in each))) for each in itertools.product(*along)]


def _windows(
    x: NDArray[Any],
    size: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    padding: tuple[tuple[int, int], ...] | None = None,
    fill: float = 0.0,
) -> NDArray[Any]:
    """The windows over x's last axes, [..., *axes] to [..., *size, *positions]: a view of x, or of x padded with `fill`."""
    n = len(size)
    if padding is not None:
        x = _pad(x, (*[(0, 0)] * (x.ndim - n), *padding), fill)
    stride, dilation = stride or (1,) * n, dilation or (1,) * n
    positions = ((m - (k - 1) * d - 1) // s + 1 for m, k, s, d in zip(x.shape[-n:], size, stride, dilation, strict=True))
    x = np.ascontiguousarray(x)
    within = (step * d for step, d in zip(x.strides[-n:], dilation, strict=True))
    between = (step * s for step, s in zip(x.strides[-n:], stride, strict=True))
    return np.ndarray((*x.shape[:-n], *size, *positions), x.dtype, x, strides=(*x.strides[:-n], *within, *between))


def _unwindows(
    g: NDArray[Any],
    axes: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    padding: tuple[tuple[int, int], ...] | None = None,
) -> NDArray[Any]:
    """The transpose of `_windows`: [..., *size, *positions] added up to [..., *axes]; what fell on padding is left out."""
    n = len(axes)
    size, positions = g.shape[-2 * n : -n], g.shape[-n:]
    stride, dilation, padding = stride or (1,) * n, dilation or (1,) * n, padding or ((0, 0),) * n
    out = np.zeros((*g.shape[: -2 * n], *axes), g.dtype)
    apart = all(s > (k - 1) * d for s, k, d in zip(stride, size, dilation, strict=True))
    for window, place in _places(axes, size, positions, stride, dilation, padding):
        if apart:
            out[place] = g[window]
        else:
            out[place] += g[window]
    return out
