"""Run-time helpers: NumPy functions whose source is copied, as it stands, into the generated modules that call them.

Each begins with `_`, and calls only NumPy, `math` and other `_` names of this file. float32 gives float32, scalars give
scalars; no argument is written to; none warns under NumPy's default error state. The tables are Chebyshev
interpolants computed with mpmath at 40 digits, written in powers of t in [-1, 1], lowest power first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# -log(erfc x) / x on [0, 6], in t = 3 (x - 2) / (x + 6).
_ERF = (
    2.682470632308319, 2.314253564914794, 0.9701938726807785, 0.2807356525567286, 0.09799593298873048,
    0.03478654527725063, 0.010214983229225252, 0.003748683525214017, 0.001283779567711781, 0.00036267286835728205,
    0.00014604526955826327, 4.6985573339089046e-05, 1.2515137833403417e-05, 5.9282631420443845e-06,
    1.642676270880562e-06, 4.161240298082048e-07, 2.676742618429056e-07, 5.369864624191038e-08,
    5.1785760681831745e-09, 1.0513695080057831e-08, 4.605106014917706e-09, 9.056625734119127e-10,
)
# (x + 3.5) exp(x²) erfc(x) on [0, 28], in t = 1.25 (x - 2.8) / (x + 3.5).
_ERFC = (
    1.200457942046949, -0.9862040036460702, 0.6773320899694404, -0.3846846365949377, 0.17609785772635922,
    -0.06143471892283792, 0.014036181067439158, -0.00074373178391716, -0.0007892706334106168, 0.0002445034826815331,
    1.885085686810602e-05, -2.4956951075008028e-05, 1.2183994066121772e-06, 2.4046860441602906e-06,
    -2.6749945186314764e-07, -2.56587418272691e-07, 3.155544362340448e-08, 3.0528161437340325e-08,
    -2.6797019211430425e-09, -3.5515494344903003e-09, 1.2703326378369147e-10, 2.7729339856040875e-10,
)
# log Γ(x) / ((x - 1) (x - 2)) on [1, 6], in t = (x - 2.25) / (x / 2 + 0.75).
_GAMMALN = (
    0.3995894876556691, -0.16102658915861437, 0.0083207658244389, -0.007215720388477617, 0.0003945897772773389,
    -0.0006042445601401671, -1.7345058286708014e-06, -6.435276504314736e-05, -5.970001709290058e-06,
    -8.183853768812695e-06, -1.583384127379747e-06, -1.2049579949735299e-06, -3.4115253756486875e-07,
    -1.987229997754928e-07, -7.134097043886099e-08, -3.640932229239108e-08, -1.2013540734193944e-08,
    -5.806304284941814e-09, -4.988495448754022e-09, -2.3305067183019623e-09, 6.530502204469985e-10,
    3.0573598889500995e-10, -5.029084496458545e-10, -2.33779113774757e-10,
)
# ψ(x) / (x - root) on [1, 6], in the same t.
_DIGAMMA = (
    0.7262427849760034, -0.4017325860101992, 0.07734233564161376, -0.03162737473829331, 0.00852053941720913,
    -0.003426727734548627, 0.0009381536676891404, -0.00038666715233175283, 0.00010075191481554599,
    -4.4642164076722346e-05, 1.0418980992700925e-05, -5.311208530338591e-06, 1.0005952117453459e-06,
    -6.605836150367095e-07, 7.794032187131016e-08, -8.845454017913723e-08, 4.41933052872517e-09,
    -1.162855259054676e-08, -3.10968708190838e-09, -3.0570418826750563e-09, 8.034210706583878e-10,
    2.6317827971117526e-10, -4.664653652879317e-10, -2.543976583613957e-10,
)
# B(2k) / (2k (2k - 1)): Stirling's series of log Γ (DLMF 5.11.1).
_STIRLING = (
    1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400, 43867 / 244188,
    -174611 / 125400,
)
# B(2k) / (2k): the asymptotic series of ψ (DLMF 5.11.2).
_STIRLING_PSI = (
    1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160, 43867 / 14364, -174611 / 6600,
)
# B(2k), k = 1, 2, …: Bernoulli numbers, for Euler-Maclaurin sums.
_BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330, 854513 / 138,
)
_PSI_ROOT = 1.4616321449683622
_PSI_ROOT_LOW = 9.549995429965697e-17


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
    """x as an array of float32 or float64 with the declared number of axes."""
    if type(x) is np.ndarray and x.dtype.char in "fd" and (rank is None or x.ndim == rank):
        return x  # the usual case, without a call
    array = _array(x, name, rank)
    if array.dtype.char not in "fd":
        if array.dtype.kind not in "iuf":
            raise TypeError(f"{name} must hold floats, not {array.dtype}")
        array = array.astype(np.float64)
    return array


def _int_array(x: Any, name: str, rank: int | None = None) -> NDArray[Any]:
    """x as an array of integers with the declared number of axes."""
    if type(x) is np.ndarray and x.dtype.kind in "iu" and x.size and (rank is None or x.ndim == rank):
        return x  # the usual case, without a call
    array = _array(x, name, rank)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must hold integers, not {array.dtype}")
    return array if array.size else array.astype(np.int64)


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
    if array.ndim and array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, not {array.shape}")
    return np.broadcast_to(array, shape)[()]


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
    if x.size and not (low <= x.min() and x.max() < high):
        raise ValueError(f"{name} must lie in {low}:{high}, and holds {x.min()} to {x.max()}")


def _horner(t: NDArray[Any], coefficients: tuple[float, ...]) -> NDArray[Any]:
    """The polynomial in t, lowest power first."""
    out = np.full(np.shape(t), coefficients[-1])
    for c in coefficients[-2::-1]:
        out *= t
        out += c
    return out


def _blocked(kernel: Any, x: NDArray[Any]) -> NDArray[Any]:
    """kernel(x), elementwise, in float64 and in blocks that stay in cache; the result has x's precision and shape."""
    v = np.asarray(x)
    dtype = np.float32 if v.dtype == np.float32 else np.float64
    flat = v.reshape(-1)
    out = np.empty(flat.shape, dtype)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for start in range(0, flat.size, 8192):
            out[start : start + 8192] = kernel(flat[start : start + 8192].astype(np.float64, copy=False))
    result: NDArray[Any] = out.reshape(v.shape)[()]
    return result


def _one_by_one(function: Any, x: NDArray[Any]) -> NDArray[Any]:
    """function(x) of few entries, by Python's own function, which costs less than a polynomial's many calls of NumPy."""
    v = np.asarray(x)
    values = [function(each) for each in v.ravel().tolist()]
    return np.array(values, np.float32 if v.dtype == np.float32 else np.float64).reshape(v.shape)[()]


def _masked(mask: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    """np.where(mask, x, 0.0), of the shape of one of the two, in their bits: no branch for each entry, up to eight times as fast."""
    if max(mask.size, x.size) < 4096:
        return np.where(mask, x, x.dtype.type(0.0))
    bits = np.int32 if x.dtype == np.float32 else np.int64
    keep = mask.astype(bits)
    np.negative(keep, out=keep)
    out: NDArray[Any] = np.bitwise_and(keep, x.view(bits), out=keep if keep.size >= x.size else None)
    return out.view(x.dtype)


def _sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    """exp(x) / (1 + exp(x)), which is 1 from 40 on, so that exp need not overflow."""
    e = np.exp(np.minimum(x, 40.0))
    out: NDArray[Any] = e / (1.0 + e)
    return out


def _softplus(x: NDArray[Any]) -> NDArray[Any]:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    out: NDArray[Any] = np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
    return out


def _log_sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    """log(sigmoid(x)) = min(x, 0) - log1p(exp(-|x|))."""
    out: NDArray[Any] = np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x)))
    return out


def _erf_kernel(v: NDArray[Any]) -> NDArray[Any]:
    """erf(x) = -expm1(-y), y = |x| P(t) = -log(erfc |x|): one branch, relatively accurate down to 0."""
    a = np.minimum(np.abs(v), 6.0)
    y = a * _horner((3.0 * a - 6.0) / (a + 6.0), _ERF)
    return np.asarray(np.copysign(np.expm1(-y), v))


def _erf(x: NDArray[Any]) -> NDArray[Any]:
    """The error function: 2/√π times the integral of exp(-t²) from 0 to x."""
    return _blocked(_erf_kernel, x) if np.size(x) > 64 else _one_by_one(math.erf, x)


def _erfc_kernel(v: NDArray[Any]) -> NDArray[Any]:
    """erfc(x) = exp(-x²) P(t) / (x + 3.5) for x >= 0, else 2 - erfc(-x); x² is carried with its rounding error."""
    a = np.minimum(np.abs(v), 28.0)
    inverse = 1.0 / (a + 3.5)
    high = a.astype(np.float32).astype(np.float64)  # 24 bits, so its square is exact
    square = a * a
    low = (high * high - square) + (a - high) * (a + high)
    out = np.exp(-square) * (1.0 - low) * _horner((1.25 * a - 3.5) * inverse, _ERFC) * inverse
    return np.asarray(np.where(v < 0.0, 2.0 - out, out))


def _erfc(x: NDArray[Any]) -> NDArray[Any]:
    """1 - erf(x), relatively accurate in the far tail."""
    return _blocked(_erfc_kernel, x) if np.size(x) > 64 else _one_by_one(math.erfc, x)


def _gammaln_kernel(v: NDArray[Any]) -> NDArray[Any]:
    """log |Γ(x)|: (x-1)(x-2) P(t) below 6, Γ(x+1) = x Γ(x) below 1, Stirling above (DLMF 5.11.1), reflection below 0."""
    a = np.abs(v)
    log = np.log(a)
    tiny, small = a < 1.0, a < 6.0
    s = np.where(tiny, a + 1.0, np.minimum(a, 6.0))
    near = np.where(tiny, a * (a - 1.0), (s - 1.0) * (s - 2.0)) * _horner((s - 2.25) / (0.5 * s + 0.75), _GAMMALN)
    out = near - np.where(tiny, log, 0.0)
    if not small.all():
        r = 1.0 / np.maximum(a, 6.0)
        far = (a - 0.5) * (log - 1.0) + (0.4189385332046727 + r * _horner(r * r, _STIRLING))
        out = np.where(small, out, np.where(a == np.inf, np.inf, far))
    if np.any(v < 0.0):  # Γ(-a) Γ(a) = -π / (a sin πa)
        sine = np.abs(np.sin(np.pi * (a - np.round(a))))
        reflected = np.where(a == np.round(a), np.inf, 1.1447298858494002 - log - np.log(sine) - out)
        out = np.where(v < 0.0, reflected, out)
    return np.asarray(out)


def _gammaln(x: NDArray[Any]) -> NDArray[Any]:
    """log |Γ(x)|; inf at the poles."""
    return _blocked(_gammaln_kernel, x)


def _digamma_kernel(v: NDArray[Any]) -> NDArray[Any]:
    """ψ(x): (x - root) P(t) below 6, ψ(x+1) - 1/x below 1, DLMF 5.11.2 above, reflection below 0 (poles: nan)."""
    a = np.abs(v)
    tiny, small = a < 1.0, a < 6.0
    s = np.where(tiny, a + 1.0, np.minimum(a, 6.0))
    near = ((s - _PSI_ROOT) - _PSI_ROOT_LOW) * _horner((s - 2.25) / (0.5 * s + 0.75), _DIGAMMA)
    out = near - np.where(tiny, 1.0 / a, 0.0)
    if not small.all():
        b = np.maximum(a, 6.0)
        r = 1.0 / b
        r2 = r * r
        out = np.where(small, out, np.log(b) - 0.5 * r - r2 * _horner(r2, _STIRLING_PSI))
    if np.any(v < 0.0):  # ψ(-a) = ψ(a) + 1/a + π cot πa
        angle = np.pi * (a - np.round(a))
        reflected = np.where(angle == 0.0, np.nan, (out + 1.0 / a) + np.pi * np.cos(angle) / np.sin(angle))
        out = np.where(v < 0.0, reflected, out)
    out = np.where(v == 0.0, -np.copysign(np.inf, v), out)
    return np.asarray(out)


def _digamma(x: NDArray[Any]) -> NDArray[Any]:
    """ψ(x) = Γ'(x) / Γ(x); nan at the negative integers."""
    return _blocked(_digamma_kernel, x)


def _inverse_power(x: NDArray[Any], k: int) -> NDArray[Any]:
    """x ** -k for an integer k >= 1: products when k is small, since np.power is slow; else no rounding of 1 / x is raised."""
    if k > 16:
        power: NDArray[Any] = np.power(x, -float(k))
        return power
    x = 1.0 / x
    out = x if k % 2 else None
    while k := k // 2:
        x = x * x
        if k % 2:
            out = x if out is None else out * x
    return x if out is None else out


def _polygamma_kernel(n: int, v: NDArray[Any]) -> NDArray[Any]:
    """ψ⁽ⁿ⁾(x) = (-1)ⁿ⁺¹ n! ζ(n+1, x) (DLMF 5.15.1, 25.11.5) for n >= 1; reflected below 0 (DLMF 5.15.6)."""
    negative = v < 0.0
    a = np.where(negative, 1.0 - v, v)
    shifts = 10 + n // 2
    w = a + float(shifts)
    r = 1.0 / w
    series, factor = [], float(n + 1) / 2.0
    for k, bernoulli in enumerate(_BERNOULLI, 1):
        series.append(bernoulli * factor)
        factor *= (n + 2 * k) * (n + 2 * k + 1) / ((2 * k + 1) * (2 * k + 2))
    total = _inverse_power(w, n) * (1.0 / n + r * (0.5 + r * _horner(r * r, tuple(series))))
    for j in range(shifts - 1, -1, -1):
        total = total + _inverse_power(a + float(j), n + 1)
    factorial = float(np.prod(np.arange(1.0, n + 1.0)))
    out = (factorial if n % 2 else -factorial) * total
    if np.any(negative):  # dⁿ cot u / duⁿ is a polynomial in cot u: p -> -(1 + c²) p'
        p = [0.0, 1.0]
        for _ in range(n):
            d = [i * c for i, c in enumerate(p)][1:]
            p = [-(u + w) for u, w in zip([*d, 0.0, 0.0], [0.0, 0.0, *d], strict=True)]
        angle = np.pi * (v - np.round(v))
        cot = _horner(np.asarray(np.cos(angle) / np.abs(np.sin(angle)) * np.where(angle < 0.0, -1.0, 1.0)), tuple(p))
        out = np.where(negative, (out if n % 2 == 0 else -out) - np.pi ** (n + 1) * cot, out)
    return np.asarray(out)


def _polygamma(n: int, x: NDArray[Any]) -> NDArray[Any]:
    """ψ⁽ⁿ⁾(x), the n-th derivative of ψ, for 0 <= n <= 100."""
    if n == 0:
        return _digamma(x)
    return _blocked(lambda v: _polygamma_kernel(n, v), x)


def _logit(p: NDArray[Any]) -> NDArray[Any]:
    """log(p / (1 - p)) = ±log1p((1 - 2m) / m), m = min(p, 1 - p): accurate near 0, 1/2 and 1."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        m = np.minimum(p, 1.0 - p)
        out: NDArray[Any] = np.copysign(np.log1p((1.0 - 2.0 * m) / np.maximum(m, 0.0)), p - 0.5)
        out = np.where(m < 0.0, np.nan, out)[()]
    return out


def _xlogy(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """x log(y), and 0 where x is 0 (unless y is nan)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        out: NDArray[Any] = x * np.log(np.where((np.equal(x, 0.0)) & ~np.isnan(y), 1.0, np.asarray(y, np.result_type(x, y))))
    return out


def _entr(x: NDArray[Any]) -> NDArray[Any]:
    """-x log(x); 0 at 0, -inf below."""
    with np.errstate(invalid="ignore", over="ignore"):
        out = 0.0 - x * np.log(np.where(np.greater(x, 0.0), x, 1.0))
        result: NDArray[Any] = np.where(np.less(x, 0.0), -np.inf, out)[()]
    return result


def _logsumexp(x: NDArray[Any], axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> NDArray[Any]:
    """log(sum(exp(x))), shifted by the largest entry; -inf over no entries."""
    top = x.max(axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        log = np.log(np.exp(x - top).sum(axis=axis, keepdims=keepdims))
    out: NDArray[Any] = log + top.reshape(log.shape)[()]
    return out


def _softmax(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1) -> NDArray[Any]:
    """exp(x) / sum(exp(x)), shifted by the largest entry."""
    with np.errstate(invalid="ignore", over="ignore"):
        e = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
        e /= e.sum(axis=axis, keepdims=True)
    out: NDArray[Any] = e
    return out


def _log_softmax(x: NDArray[Any], axis: int | tuple[int, ...] | None = -1) -> NDArray[Any]:
    """x - logsumexp(x), shifted by the largest entry."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        z = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
        z -= np.log(np.exp(z).sum(axis=axis, keepdims=True))
    out: NDArray[Any] = z
    return out


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


def _on_diagonal(shape: tuple[int, ...], view: str, values: Any) -> NDArray[Any]:
    """Zeros of `shape` with the values where axes of one label in `view` have one index."""
    out = np.zeros(shape, np.asarray(values).dtype)
    np.einsum(view, out)[...] = values
    return out


def _plus_diagonal(x: NDArray[Any], values: Any, view: str = "ii->i") -> NDArray[Any]:
    """x, which is overwritten, with the values added where axes of one label in `view` have one index."""
    x = x.astype(np.result_type(x, values), copy=False)
    np.einsum(view, x)[...] += values
    return x
