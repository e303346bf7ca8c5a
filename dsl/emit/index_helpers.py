"""Run-time helpers that take entries out of arrays and put or add them back, copied as they stand into the modules that call them (see helpers.py)."""

from __future__ import annotations

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
    axes = x.shape[-n:]
    if padding is not None:
        ends = [slice(before, before + m) for m, (before, _) in zip(axes, padding, strict=True)]
        wide = np.full((*x.shape[:-n], *(m + sum(pair) for m, pair in zip(axes, padding, strict=True))), fill, x.dtype)
        inside: tuple[Any, ...] = (..., *ends)
        wide[inside] = x
        x = wide
    stride, dilation = stride or (1,) * n, dilation or (1,) * n
    spans = tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(x, spans, tuple(range(-n, 0)))
    steps: tuple[Any, ...] = (..., *(slice(None, None, step) for step in stride + dilation))
    out: NDArray[Any] = np.moveaxis(view[steps], range(-n, 0), range(-2 * n, -n))
    return out


def _unwindows(
    g: NDArray[Any],
    axes: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    padding: tuple[tuple[int, int], ...] | None = None,
) -> NDArray[Any]:
    """The transpose of `_windows`: [..., *size, *positions] added up to [..., *axes], a place within the window at a time."""
    n = len(axes)
    size, positions = g.shape[-2 * n : -n], g.shape[-n:]
    stride, dilation, padding = stride or (1,) * n, dilation or (1,) * n, padding or ((0, 0),) * n
    out = np.zeros((*g.shape[: -2 * n], *axes), g.dtype)
    for place in np.ndindex(*size):
        source: list[Any] = [..., *place]
        target: list[Any] = [...]
        for i, m, p, s, d, (before, _) in zip(place, axes, positions, stride, dilation, padding, strict=True):
            start = i * d - before  # where the first window has this place; what falls on padding is left out
            low, high = max(0, -(start // s)), min(p, (m - 1 - start) // s + 1)
            source.append(slice(low, max(low, high)))
            target.append(slice(start + low * s, max(start + low * s, start + (high - 1) * s + 1), s))
        out[tuple(target)] += g[tuple(source)]
    return out
