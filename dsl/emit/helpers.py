"""Run-time helpers: NumPy functions whose source is copied, as it stands, into the generated modules that call them.

Each begins with `_`, and calls only NumPy, Python's library and other `_` names. float32 gives float32, scalars give
scalars; no argument is written to; none warns under NumPy's default error state.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FLOATS = np.dtype(np.float64), np.dtype(np.float32)
_INT = np.dtype(np.int64)


def _array(x: Any, name: str, rank: int | None) -> NDArray[Any]:
    """x as an array with the declared number of axes."""
    try:
        array = np.asarray(x)
    except ValueError as problem:
        raise ValueError(f"{name} is no array: {problem}") from None
    if rank is not None and array.ndim != rank:
        expected = "a number" if rank == 0 else "an array of 1 axis" if rank == 1 else f"an array of {rank} axes"
        raise ValueError(f"{name} must be {expected}, not of shape {array.shape}")
    return array


def _float_array(x: Any, name: str, rank: int | None = None) -> NDArray[Any]:
    """x as an array of float32 or float64 with the declared number of axes; a number as NumPy's, which is faster than an array of none."""
    if type(x) is np.ndarray and x.dtype in _FLOATS and (x.ndim == rank or rank is None):
        return x  # the usual case, without a call
    array: Any = np.float64(x) if type(x) is float and not rank else _array(x, name, rank)
    if array.dtype not in _FLOATS:
        if array.dtype.kind not in "iuf":
            raise TypeError(f"{name} must hold floats, not {array.dtype}")
        # float32 of another byte order too
        array = array.astype(np.float32 if array.dtype.char == "f" else np.float64)
    result: NDArray[Any] = array[()]
    return result


def _in_one_precision(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """float32 beside float64 as float64."""
    dtype = np.result_type(*arrays)
    return [array.astype(dtype, copy=False) for array in arrays]


def _int_array(x: Any, name: str, rank: int | None = None) -> NDArray[Any]:
    """x as an array of integers of 64 bits with the declared number of axes."""
    if type(x) is np.ndarray and x.dtype == _INT and (rank is None or x.ndim == rank):
        return x  # the usual case, without a call
    array = _array(x, name, rank)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must hold integers, not {array.dtype}")
    result = array.astype(np.int64, copy=False)
    if array.dtype == np.uint64 and result.min(initial=0) < 0:
        raise ValueError(f"{name} must hold integers below 2 ** 63")
    return result


def _bool_array(x: Any, name: str, rank: int | None = None) -> NDArray[Any]:
    """x as an array of booleans with the declared number of axes."""
    array = _array(x, name, rank)
    if array.dtype.kind != "b":
        raise TypeError(f"{name} must hold booleans, not {array.dtype}")
    return array


def _cotangent(g: Any, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """The cotangent of an output in its shape: a number is that number everywhere, None is 0."""
    if not shape and isinstance(g, float):
        return dtype.type(g)
    array = np.asarray(0.0 if g is None else g, dtype)
    if array.shape == shape:
        return array[()]
    if array.ndim:
        raise ValueError(f"{name} must have the shape {shape}, not {array.shape}")
    # what np.broadcast_to gives, in a tenth of the time
    out = np.ndarray(shape, dtype, array, strides=(0,) * len(shape))
    out.flags.writeable = False
    return out


def _float_number(x: Any, name: str) -> float:
    """x as a Python float."""
    try:
        return float(x)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {x!r}") from None


def _int_number(x: Any, name: str) -> int:
    """x as a Python int."""
    if isinstance(x, bool | np.bool_) or not isinstance(x, int | np.integer):
        raise TypeError(f"{name} must be an integer, not {x!r}")
    return int(x)


def _check_range(x: NDArray[Any], name: str, low: float, high: float) -> None:
    """Refuse integers outside low:high."""
    if x.size:
        few = x.ravel().tolist() if x.size <= 128 else None
        least, most = (min(few), max(few)) if few else (x.min(), x.max())
        if least < low or most >= high:
            raise ValueError(f"{name} must lie in {low}:{high}, and holds {least} to {most}")


@functools.lru_cache(maxsize=8)
def _ones(count: int, dtype: Any) -> NDArray[Any]:
    """A vector of ones, made once, and not to be written to: x.dot(ones) is x.sum(axis=-1) in a half to a tenth of the time."""
    ones = np.ones(count, dtype)
    ones.flags.writeable = False
    return ones


def _dot_rows(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """(x * y).sum(axis=-1) without the product: of short rows einsum is faster, which takes longer to begin."""
    out: NDArray[Any] = np.vecdot(x, y) if x.shape[-1] > 63 or x.size < 256 else np.einsum("...i,...i->...", x, y)
    return out


def _dot_columns(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """(x * y).sum(axis=0) of matrices, of many entries without the product."""
    out: NDArray[Any] = _ones(len(x), x.dtype).dot(x * y) if x.size < 4096 else np.einsum("ij,ij->j", x, y)
    return out


def _dot_all(x: NDArray[Any], y: NDArray[Any]) -> Any:
    """np.vdot(x, y) on the caller's thread. Of more than 10,000 entries BLAS would give some to a thread of its own, which goes on looking for work
    for a tenth of a second: on a core that other blocks could use, or another program."""
    if x.size <= 10000:
        return x.dot(y) if x.ndim == 1 else np.vdot(x, y)
    x, y = x.reshape(-1), y.reshape(-1)
    whole = x.size - x.size % 8192
    return np.vecdot(x[:whole].reshape(-1, 8192), y[:whole].reshape(-1, 8192)).sum() + x[whole:].dot(y[whole:])


def _all_finite(value: Any, gradients: Any) -> bool:
    """Whether a value and its gradients are finite, and not so large that their squares are none."""
    return bool(np.isfinite(value)) and all(np.isfinite(_dot_all(each, each)) for each in gradients)


def _moderate(x: NDArray[Any]) -> bool:
    """Whether the exponentials of all entries, of which there are some, are in the middle half of what floats hold: sums of products with numbers of
    which the largest is 1 then keep their digits."""
    return x.size > 0 and bool(np.abs(x).max() < -np.log(np.finfo(x.dtype).tiny) / 2.0)


def _keeps_digits(x: NDArray[Any], y: NDArray[Any], weights: Any) -> bool:
    """Whether weighted sums of squared differences between rows of x and of y, from products of moments about the mean of y, are right to 1e-12.
    For each row of y they cancel from what the farthest point's would be, so nan or inf or large weights say no."""
    mean = y.mean(axis=0)
    farthest = np.maximum(x.max(axis=0) - mean, mean - x.min(axis=0))
    reach = np.abs(y - mean) + farthest
    largest = np.asarray(np.abs(weights) * reach**2).sum(axis=-1).max()
    return bool(largest * np.finfo(np.float64).eps < 1e-12)


def _stands_apart(x: NDArray[Any], y: NDArray[Any], weights: Any) -> bool:
    """Whether such sums are right to 1e-12 of each: no row of x is so near to one of y that all but a 4500th cancels. nan and inf say no."""
    mean = y.mean(axis=0)
    y = y - mean
    weights = np.broadcast_to(weights, y.shape)
    if weights.size and weights.min() < 0.0 < weights.max():
        return False
    weights = np.abs(weights)
    weighted = (weights * y).T
    own = np.einsum("ij,ji->i", y, weighted)
    least = np.finfo(np.float64).eps / 1e-12
    rows = max(2**17 // max(len(y), 1), 1)
    for start in range(0, len(x), rows):
        z = x[start : start + rows] - mean
        cancels = (z * z) @ weights.T
        cancels += own
        cancels *= (1.0 - least) / 2.0
        if not (cancels.max(initial=0.0) < np.inf and np.all(z @ weighted <= cancels)):
            return False
    return True


def _in_double(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """float32 as float64."""
    return [array.astype(np.float64, copy=False) for array in arrays]


def _rounded(value: Any, gradients: Any, dtype: Any) -> tuple[Any, Any]:
    """A value and its gradients, computed in float64, in the precision of the arguments."""
    if dtype == np.float64:
        return value, gradients
    return dtype.type(value), type(gradients)(*(each.astype(dtype) for each in gradients))


def _masked(mask: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    """np.where(mask, x, 0.0), of the shape of one of the two, in their bits: no branch for each entry, up to eight times as fast."""
    if max(mask.size, x.size) < 4096:
        return np.where(mask, x, x.dtype.type(0.0))
    bits = np.int32 if x.dtype == np.float32 else np.int64
    keep = mask.astype(bits)
    np.negative(keep, out=keep)
    out: NDArray[Any] = np.bitwise_and(keep, x.view(bits), out=keep if np.broadcast(keep, x).shape == keep.shape else None)
    return out.view(x.dtype)


def _signed(mask: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    """np.where(mask, x, -x), of x's shape, in the bits of their signs: no branch for each entry."""
    if x.size < 4096:
        return np.where(mask, x, -x)
    bits, sign = (np.int32, 31) if x.dtype == np.float32 else (np.int64, 63)
    flip = np.logical_not(mask).astype(bits)
    flip <<= sign
    out: NDArray[Any] = np.bitwise_xor(flip, x.view(bits), out=flip if flip.shape == x.shape else None)
    return out.view(x.dtype)


def _where(mask: NDArray[Any], x: Any, y: Any) -> NDArray[Any]:
    """np.where(mask, x, y) of floats, in their bits: no branch for each entry, up to six times as fast; not of many entries whose choice is seldom
    another than that of the entry before, as in a triangle, for these branches are foreseen."""
    some = mask.ravel()[:4096] if mask.size >= 65536 else mask
    foreseen = some is not mask and np.count_nonzero(some[1:] != some[:-1]) < 256
    if mask.size < 4096 or foreseen or (dtype := np.result_type(x, y)).char not in "fd":
        return np.asarray(np.where(mask, x, y))
    bits = np.int32 if dtype == np.float32 else np.int64
    keep: NDArray[Any] = mask.astype(bits)
    np.negative(keep, out=keep)
    other: NDArray[Any] = np.asarray(y, dtype).view(bits)
    change = np.bitwise_xor(np.asarray(x, dtype).view(bits), other)
    out: NDArray[Any] = np.bitwise_and(keep, change, out=keep if np.broadcast(keep, change).shape == keep.shape else None)
    out ^= other
    return out.view(dtype)


def _logaddexp(x: Any, y: Any) -> NDArray[Any]:
    """log(exp(x) + exp(y)), of many entries in a third of NumPy's time, which takes them one by one, as it does here where there are infinite ones."""
    if getattr(x, "size", 1) < 4096 and getattr(y, "size", 1) < 4096:
        return np.asarray(np.logaddexp(x, y))[()]
    least: NDArray[Any] = np.subtract(x, y)
    np.abs(least, out=least)
    np.negative(least, out=least)
    if not least.min() > -np.inf:
        return np.asarray(np.logaddexp(x, y))
    np.exp(least, out=least)
    np.log1p(least, out=least)
    least += np.maximum(x, y)
    return least


def _logaddexp_and_shares(x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """log(exp(x) + exp(y)), and how much of that sum exp(x) is, and exp(y), of one exponential."""
    z: NDArray[Any] = np.subtract(x, np.maximum(y, -1e38))
    e: NDArray[Any] = np.exp(np.minimum(z, 80.0 if z.dtype.char == "f" else 700.0))
    second: NDArray[Any] = 1.0 / (1.0 + e)
    first: NDArray[Any] = e * second
    if z.min(initial=0.0) > -np.inf:
        out: NDArray[Any] = np.maximum(x, y) - np.log1p(-np.minimum(first, second))
    else:
        out = np.logaddexp(x, y)
        first, second = (np.where(out == -np.inf, 0.0, share).astype(out.dtype)[()] for share in (first, second))
    return out, first, second


def _bounded(x: NDArray[Any]) -> NDArray[Any]:
    """x, or 40 where it is more, so that exp need not overflow. Of many entries, whether any is takes a sixth of the time to tell."""
    many = isinstance(x, np.ndarray) and x.size >= 4096
    return x if many and x.max() < 40.0 else np.minimum(x, 40.0)


def _sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    """exp(x) / (1 + exp(x)), which is 1 from 40 on."""
    e: NDArray[Any] = np.exp(_bounded(x))
    e /= 1.0 + e
    return e


def _softplus(x: NDArray[Any]) -> NDArray[Any]:
    """log(1 + exp(x)), which is x from 40 on."""
    below = _bounded(x)
    out: NDArray[Any] = np.log1p(np.exp(below))
    return out if below is x else np.maximum(x, out)


def _softplus_and_sigmoid(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both, of one exponential."""
    below = _bounded(x)
    e: NDArray[Any] = np.exp(below)
    softplus: NDArray[Any] = np.log1p(e)
    e /= 1.0 + e
    return softplus if below is x else np.maximum(x, softplus), e


def _log1mexp(x: NDArray[Any]) -> NDArray[Any]:
    """log(1 - exp(-x)) for x > 0, by whichever of expm1 and log1p does not cancel (Mächler, "Accurately computing log(1 - exp(-|a|))", 2012)."""
    near = np.log(-np.expm1(-np.minimum(x, 0.7)))
    far = np.log1p(-np.exp(-np.maximum(x, 0.6)))
    out: NDArray[Any] = np.where(x < 0.65, near, far)[()]
    return out


def _log_cosh(x: NDArray[Any]) -> NDArray[Any]:
    """log(cosh(x)), of exp(-2 |x|), which is never large."""
    a: NDArray[Any] = np.abs(x)
    out: NDArray[Any] = a + np.log1p(0.5 * np.expm1(-2.0 * a))
    return out


def _log_sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    """log(sigmoid(x)) = -softplus(-x)."""
    out: NDArray[Any] = -_softplus(-x)
    return out


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _logit(p: NDArray[Any]) -> NDArray[Any]:
    """log(p / (1 - p)) = ±log1p((1 - 2m) / m), m = min(p, 1 - p): accurate near 0, 1/2 and 1."""
    m = np.minimum(p, 1.0 - p) + 0.0  # 0 without a sign
    out: NDArray[Any] = np.copysign(np.log1p((1.0 - 2.0 * m) / m), p - 0.5)
    return out


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _xlogy(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """x log(y), and 0 where x is 0 (unless y is nan)."""
    y = np.asarray(y, np.result_type(x, y))
    out: NDArray[Any] = x * np.log(np.where(np.equal(x, 0.0) & np.equal(y, y), y.dtype.type(1.0), y))
    return out


@np.errstate(invalid="ignore", over="ignore")
def _entr(x: NDArray[Any]) -> NDArray[Any]:
    """-x log(x); 0 at 0, -inf below."""
    out = 0.0 - x * np.log(np.where(np.greater(x, 0.0), x, 1.0))
    result: NDArray[Any] = np.where(np.less(x, 0.0), -np.inf, out)[()]
    return result


def _unbroadcast(g: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The cotangent g of a broadcast value, summed (or, where g is smaller, repeated) to exactly `shape`."""
    if np.shape(g) == shape:
        return g
    lead = np.ndim(g) - len(shape)
    padded = (1,) * lead + shape
    sizes = (1,) * -lead + np.shape(g)
    axes = tuple(i + min(lead, 0) for i, (m, n) in enumerate(zip(padded, sizes, strict=True)) if m == 1 != n)
    out: NDArray[Any] = np.sum(g, axis=axes, keepdims=True) if axes else np.asarray(g)
    out = out.reshape(out.shape[max(lead, 0) :])
    return out[()] if out.shape == shape else np.broadcast_to(out, shape).copy()


def _prod_others(x: NDArray[Any], axis: int | tuple[int, ...] | None = None) -> NDArray[Any]:
    """For each entry, the product of the others along `axis`: prefix products times suffix products, so zeros are exact."""
    v = np.asarray(x)
    axes = tuple(range(v.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    last = tuple(range(v.ndim - len(axes), v.ndim))
    moved = np.moveaxis(v, axes, last)
    count = int(np.prod(moved.shape[v.ndim - len(axes) :], dtype=np.intp))
    rows = moved.reshape(*moved.shape[: v.ndim - len(axes)], count)
    before, after = np.ones_like(rows), np.ones_like(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        np.cumprod(rows[..., :-1], axis=-1, out=before[..., 1:])
        np.cumprod(rows[..., :0:-1], axis=-1, out=after[..., -2::-1])
        before *= after
    out: NDArray[Any] = np.moveaxis(before.reshape(moved.shape), last, axes)[()]
    return out


def _recurrence(start: Any, factors: Any, terms: NDArray[Any], backwards: bool = False) -> NDArray[Any]:
    """x with x[0] = start and x[t + 1] = factors[t] * x[t] + terms[t]; backwards, x[T] = start and x[t] = factors[t] * x[t + 1] + terms[t]."""
    if np.shape(factors) != terms.shape:
        factors = np.full(terms.shape, factors) if terms.ndim == 1 else np.broadcast_to(factors, terms.shape)
    if backwards:
        return _recurrence(start, factors[::-1], terms[::-1])[::-1]
    turns = len(terms)
    if terms.ndim == 1 and turns < 1000:  # so many Python does faster
        follow = itertools.accumulate(zip(factors.tolist(), terms.tolist(), strict=True), lambda x, turn: turn[0] * x + turn[1], initial=float(start))
        return np.array(list(follow), terms.dtype)
    x = np.empty((turns + 1, *terms.shape[1:]), terms.dtype)
    x[0] = start
    done = _side_by_side(x, factors, terms) if turns >= 64 and x[0].size <= 64 else 0
    for t in range(done, turns):
        after = np.multiply(factors[t], x[t], out=x[t + 1, ...])
        after += terms[t]
    return x


def _side_by_side(x: NDArray[Any], factors: NDArray[Any], terms: NDArray[Any]) -> int:
    """Fills x[1:] as _recurrence does, and tells how far: runs of turns, each as if it began with 0, a turn of all of them at a time; then every run
    gets what the one before it leaves, times the factors in between. Where these are infinite, nothing is done."""
    run = int(len(terms) ** 0.5)
    done = len(terms) // run * run
    runs = (len(terms) // run, run, *terms.shape[1:])
    rows, by = x[1 : done + 1].reshape(runs), factors[:done].reshape(runs)
    rows[...] = terms[:done].reshape(runs)
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(1, run):
            rows[:, i] += by[:, i] * rows[:, i - 1]
        grown = np.multiply.accumulate(by, axis=1)
    if not (np.isfinite(grown[:, -1]).all() and np.isfinite(rows[:, -1]).all()):
        return 0
    for row, factor, before in zip(rows, grown, x[::run], strict=False):
        row += factor * before
    return done


def _on_diagonal(shape: tuple[int, ...], view: str, values: Any) -> NDArray[Any]:
    """Zeros of `shape` with the values where axes of one label in `view` have one index."""
    out = np.zeros(shape, np.asarray(values).dtype)
    np.einsum(view, out)[...] = values
    return out


def _plus_diagonal(x: NDArray[Any], values: Any, view: str = "ii->i") -> NDArray[Any]:
    """x, which is overwritten, with the values added where axes of one label in `view` have one index."""
    x = x.astype(np.result_type(x, values), copy=False)
    diagonal: NDArray[Any] = np.einsum(view, x)
    diagonal += values
    return x


def _room(workspace: dict[str, NDArray[Any]] | None, dtype: Any) -> Any:
    """What gives the array of a name and shape: of the workspace, where it fits, or else a new one, which the workspace keeps."""
    if workspace is None:
        return lambda name, shape: np.empty(shape, dtype)
    if not isinstance(workspace, dict):
        raise TypeError(f"workspace must be a dict, not {type(workspace).__name__}")

    def room(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        array = workspace.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            workspace[name] = array = np.empty(shape, dtype)
        return array

    return room
