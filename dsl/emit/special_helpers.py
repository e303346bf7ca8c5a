"""Run-time helpers for special functions, copied as they stand into the generated modules that call them (see helpers.py).

A table holds the coefficients of a numerator and a denominator, lowest power first: rational interpolants computed with mpmath at 60 digits,
which are off by less than 3e-17 of what they stand for. Denominators are sums of positive terms, and a constant near what the quotient is is
taken out of it, so that rounding in the polynomials hardly shows.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# log(erfc x) / x + 1.375 on [0, 6].
_ERF = (
    (0.24662083290448744, 1.0),
    (-0.2011227656310268, 1.7658565239912951),
    (-0.8691480269146442, 1.4508253439518195),
    (-0.911745546161172, 0.7064763224597924),
    (-0.5118916795598003, 0.21483556487391497),
    (-0.17315810413777974, 0.03970320632191239),
    (-0.034983135761441374, 0.0038916144598062086),
    (-0.003712791242685806, 0.00013188465864678444),
    (-0.00013186508616350005, 0.0),
)
# (x + 0.75) exp(x²) erfc(x) - 0.65 on [0, 28].
_ERFC = (
    (0.09999999999999998, 1.0),
    (0.5017441484163249, 3.4802852373795954),
    (0.7233995510630384, 5.668044988358409),
    (0.5615857346846654, 5.7137567151657365),
    (0.2701935567947873, 3.970782352039421),
    (0.08028858086008606, 2.0031385886928095),
    (0.01121209164100196, 0.7510549970315162),
    (-0.0016191124455237854, 0.21016659898886944),
    (-0.0012263446295186673, 0.04324058525683725),
    (-0.00029911279802393364, 0.006272705083921159),
    (-3.8733034679243184e-05, 0.0005829682115429794),
    (-2.2898836237686056e-06, 2.6685380615127977e-05),
)
# log Γ(1 + p) / (p (p - 1)) - 0.4 on [0, 3].
_GAMMALN = (
    (0.17721566490153284, 1.0),
    (0.37112467487212397, 3.4781126360199797),
    (0.1604562399214808, 4.841749505575004),
    (-0.14938314992235202, 3.4567553669418065),
    (-0.16419581962756716, 1.3500952143894795),
    (-0.05721607928185754, 0.28558203399808646),
    (-0.008414327768545877, 0.03046471680807163),
    (-0.00047908839096753457, 0.0013936457414557653),
    (-7.269661943627599e-06, 1.8440487286421577e-05),
)
# a (log Γ(a) - (a - 1/2) (log a - 1) - log(2π / e) / 2) for a >= 4, in 1 / a²: what Stirling's series is of.
_STIRLING = (
    (0.08333333333333333, 1.0),
    (0.8033698853092972, 9.673771957044883),
    (1.8949148265427498, 23.051913174233164),
    (1.094032194102692, 13.811795128877307),
    (0.07901185552338569, 1.2479909505995626),
)
# ψ(1 + p) / (p - root) - 0.625 on [0, 4].
_DIGAMMA = (
    (0.6253801375034054, 1.0),
    (0.6366481848924523, 2.3846960529444683),
    (0.03753422793874306, 2.1159128021500377),
    (-0.15389767601573207, 0.9189475424001181),
    (-0.06603580211005929, 0.21238957099449365),
    (-0.011136070346295716, 0.026250071148571908),
    (-0.0008390085465333545, 0.0016350080669262589),
    (-2.553383952080032e-05, 4.4063761112555645e-05),
    (-2.1697723758689413e-07, 3.49137727664828e-07),
)
# a² (log a - 1 / 2a - ψ(a)) for a >= 5, in 1 / a².
_STIRLING_PSI = (
    (0.08333333333333333, 1.0),
    (1.0032879563558346, 12.13945547627),
    (3.035554233773447, 37.59297730530195),
    (2.330298376638626, 31.194808938176227),
    (0.22649722714623957, 4.56337005758069),
)
# B(2k), k = 1, 2, …: Bernoulli numbers, for Euler-Maclaurin sums.
_BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330, 854513 / 138,
)


def _ratio(x: Any, table: tuple[tuple[float, float], ...]) -> Any:
    """The quotient of the table's two polynomials: of a number by Horner's rule, of an array by one product with all its powers."""
    if isinstance(x, float):
        above = below = 0.0
        for a, b in reversed(table):
            above = above * x + a
            below = below * x + b
        return above / below
    powers = np.empty((len(table), x.size), x.dtype)
    powers[0] = 1.0
    powers[1] = x
    known = 1
    while (more := min(known, len(table) - 1 - known)) > 0:
        np.multiply(powers[1 : more + 1], powers[known], out=powers[known + 1 : known + more + 1])
        known += more
    numerator, denominator = np.array(table, x.dtype).T @ powers
    numerator /= denominator
    return numerator


def _horner(t: NDArray[Any], coefficients: tuple[float, ...]) -> NDArray[Any]:
    """The polynomial in t, lowest power first."""
    out = np.full(t.shape, coefficients[-1], t.dtype)
    for c in coefficients[-2::-1]:
        out *= t
        out += c
    return out


def _entrywise(x: NDArray[Any], kernel: Any, one: Any = None, few: int = 0, above: float | None = None, known: Any = None, own: bool = False) -> NDArray[Any]:
    """kernel(x) in float64, of x's precision and shape; `own` takes float32 in its own. Of a few entries, all `above` something, each is one(entry),
    or what is known of it, by Python, which costs less than a kernel's many calls of NumPy."""
    v = np.asarray(x)
    dtype = np.float32 if v.dtype.char == "f" else np.float64
    values = v.ravel().tolist() if v.size <= few else ()
    if values and (above is None or min(values) > above):
        table = known() if known else {}
        out = np.array([table[each] if each in table else one(each) for each in values], dtype)
    else:
        out = np.empty(v.size, dtype)
        _in_cache(kernel, v.reshape(-1), out, dtype if own else np.float64)
    result: NDArray[Any] = out if v.ndim == 1 else out.reshape(v.shape)[()]
    return result


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _in_cache(kernel: Any, x: NDArray[Any], out: NDArray[Any], dtype: Any) -> None:
    """out = kernel(x), in blocks that stay in the cache with what is made of them, are large enough for threads not to wait for each other, and whose
    products of two rows and nine powers are just small enough for BLAS not to wake a thread of its own."""
    size = 14336
    for start in range(0, x.size, size):
        out[start : start + size] = kernel(x[start : start + size].astype(dtype, copy=False))


def _erf_kernel(v: NDArray[Any]) -> NDArray[Any]:
    """erf(x) = -expm1(y), y = |x| P(|x|) = log(erfc |x|): one branch, relatively accurate down to 0."""
    a = np.minimum(np.abs(v), 6.0)
    a *= _ratio(a, _ERF) - 1.375
    np.expm1(a, out=a)
    return np.asarray(np.copysign(a, v, out=a))


def _erf(x: NDArray[Any]) -> NDArray[Any]:
    """The error function: 2/√π times the integral of exp(-t²) from 0 to x."""
    return _entrywise(x, _erf_kernel, math.erf, 200, own=True)


def _erfc_kernel(v: NDArray[Any]) -> NDArray[Any]:
    """erfc(x) = exp(-x²) P(x) for x >= 0, else 2 - erfc(-x); x² is carried with its rounding error."""
    a = np.minimum(np.abs(v), 28.0)
    high = a.astype(np.float32).astype(np.float64)  # 24 bits, so its square is exact
    square = a * a
    low = (high * high - square) + (a - high) * (a + high)
    out = np.exp(-square) * (1.0 - low) * ((_ratio(a, _ERFC) + 0.65) / (a + 0.75))
    return np.asarray(np.copysign(out, v) + (1.0 - np.copysign(1.0, v)))


def _erfc(x: NDArray[Any]) -> NDArray[Any]:
    """1 - erf(x), relatively accurate in the far tail."""
    return _entrywise(x, _erfc_kernel, math.erfc, 200)


def _split(a: NDArray[Any], bound: float, below: Any, above: Any) -> NDArray[Any]:
    """below(a) where a < bound, above(a) elsewhere, each of its own entries alone: np.where would cost as much as either, for no branch of
    it is foreseen."""
    low = a < bound
    count = np.count_nonzero(low)
    if count in (0, a.size):
        return np.asarray(below(a) if count else above(a))
    out = np.empty_like(a)
    for mask, function in ((low, below), (~low, above)):
        at = np.flatnonzero(mask)
        out[at] = function(a[at])
    return out


def _gammaln_near(p: Any) -> Any:
    """log Γ(1 + p) for 0 <= p <= 3, relatively accurate at its zeros."""
    return p * (p - 1.0) * (_ratio(p, _GAMMALN) + 0.4)


def _gammaln_far(a: Any, log: Any) -> Any:
    """log Γ(a) for a >= 4, of a and log(a): Stirling's formula (DLMF 5.11.1)."""
    r = 1.0 / a
    return (a - 0.5) * (log - 1.0) + (0.4189385332046727 + r * _ratio(r * r, _STIRLING))


def _gammaln_one(a: float) -> float:
    """log Γ(a) of one positive number: Python's own is as accurate far from where it is 0."""
    if a >= 8.0:
        return math.lgamma(a)
    if a < 1.0:
        return float(_gammaln_near(a)) - math.log(a)
    return float(_gammaln_near(a - 1.0) if a < 4.0 else _gammaln_far(a, math.log(a)))


def _gammaln_below(a: NDArray[Any]) -> NDArray[Any]:
    """log Γ(a) for 0 <= a < 4: below 1 that of a + 1, minus log(a)."""
    if a.min() >= 1.0:
        return np.asarray(_gammaln_near(a - 1.0))
    small = np.minimum(a, 1.0)
    return np.asarray(_gammaln_near(a - np.floor(small)) - np.log(small))


@functools.cache
def _gammaln_of_counts() -> dict[float, float]:
    """log Γ(n) of n = 1, 2, … as far as Γ(n) is a number in float64."""
    return {float(n): math.log(math.factorial(n - 1)) for n in range(1, 172)}


@functools.cache
def _gammaln_table() -> NDArray[Any]:
    """The same as an array, and inf of 0."""
    return np.array([np.inf, *_gammaln_of_counts().values()])


def _gammaln_kernel(v: NDArray[Any]) -> NDArray[Any]:
    """log |Γ(x)|, by reflection below 0 (DLMF 5.5.3). Of counts, which data often are, from a table."""
    if v[0] % 1.0 == 0.0 and v.min() > 0.0 and v.max() < 172.0 and np.all((n := v.astype(np.int64)) == v):
        return _gammaln_table()[n].astype(v.dtype, copy=False)
    a = np.abs(v)
    out = _split(a, 4.0, _gammaln_below, lambda each: _gammaln_far(each, np.log(each)))
    if np.any(v < 0.0):  # Γ(-a) Γ(a) = -π / (a sin πa)
        sine = np.abs(np.sin(np.pi * (a - np.round(a))))
        reflected = np.where(a == np.round(a), np.inf, 1.1447298858494002 - np.log(a) - np.log(sine) - out)
        out = np.where(v < 0.0, reflected, out)
    return out


def _gammaln(x: NDArray[Any]) -> NDArray[Any]:
    """log |Γ(x)|; inf at the poles."""
    return _entrywise(x, _gammaln_kernel, _gammaln_one, 48, above=0.0, known=_gammaln_of_counts, own=True)


def _digamma_near(p: Any) -> Any:
    """ψ(1 + p) for 0 <= p <= 4, relatively accurate at its zero."""
    return ((p - 0.46163214496836236) + 1.5522348162858677e-17) * (_ratio(p, _DIGAMMA) + 0.625)


def _digamma_far(a: Any, log: Any) -> Any:
    """ψ(a) for a >= 5, of a and log(a) (DLMF 5.11.2)."""
    r = 1.0 / a
    return log - 0.5 * r - r * r * _ratio(r * r, _STIRLING_PSI)


def _digamma_one(a: float) -> float:
    """ψ(a) of one positive number."""
    if a < 1.0:
        return float(_digamma_near(a)) - 1.0 / a
    return float(_digamma_near(a - 1.0) if a < 5.0 else _digamma_far(a, math.log(a)))


def _digamma_below(a: NDArray[Any]) -> NDArray[Any]:
    """ψ(a) for 0 <= a < 5: below 1 that of a + 1, minus 1 / a."""
    if a.min() >= 1.0:
        return np.asarray(_digamma_near(a - 1.0))
    one = np.floor(np.minimum(a, 1.0))
    return np.asarray(_digamma_near(a - one) - (1.0 - one) / a)


def _digamma_kernel(v: NDArray[Any]) -> NDArray[Any]:
    """ψ(x), by reflection below 0 (DLMF 5.5.4; poles: nan)."""
    a = np.abs(v)
    out = _split(a, 5.0, _digamma_below, lambda each: _digamma_far(each, np.log(each)))
    if not np.all(v > 0.0):  # ψ(-a) = ψ(a) + 1/a + π cot πa
        angle = np.pi * (a - np.round(a))
        reflected = np.where(angle == 0.0, np.nan, (out + 1.0 / a) + np.pi * np.cos(angle) / np.sin(angle))
        out = np.where(v < 0.0, reflected, out)
        out = np.where(v == 0.0, -np.copysign(np.inf, v), out)
    return out


def _digamma(x: NDArray[Any]) -> NDArray[Any]:
    """ψ(x) = Γ'(x) / Γ(x); nan at the negative integers."""
    return _entrywise(x, _digamma_kernel, _digamma_one, 48, above=0.0)


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
    total += _inverse_power(a + np.arange(shifts - 1.0, -1.0, -1.0)[:, None], n + 1).sum(axis=0)
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
    return _entrywise(x, lambda v: _polygamma_kernel(n, v))
