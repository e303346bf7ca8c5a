"""The run-time helpers against mpmath and SciPy; every warning is an error."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

from dsl.emit import helpers as h
from dsl.emit import index_helpers, softmax_helpers
from dsl.emit import linalg_helpers as m
from dsl.emit import special_helpers as s

pytestmark = pytest.mark.filterwarnings("error")

rng = np.random.default_rng(0)
LINE = rng.uniform(-6, 6, 60)
TAIL = rng.uniform(-700, 40, 60)
TINY = 10.0 ** rng.uniform(-300, 0, 30)
POSITIVE = np.r_[TINY, rng.uniform(0, 12, 60), 10.0 ** rng.uniform(0, 250, 20), 1 + 1e-7 * rng.normal(size=5), 5.99, 6.0]
ROOTS = np.r_[1.46163214 + 1e-7 * rng.normal(size=5), 2 + 1e-7 * rng.normal(size=5)]
NEGATIVE = rng.uniform(-9, 0, 40)
SPECIAL = np.array([-np.inf, -30.0, -2.0, -1.0, -0.0, 0.0, 1.0, 2.0, 30.0, 1e300, np.inf, np.nan])

# name, function, mpmath's, points, relative tolerance
EXACT: list[tuple[str, Any, Any, Any, float]] = [
    ("sigmoid", h._sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), TAIL, 1e-15),
    ("softplus", h._softplus, lambda x: mpmath.log1p(mpmath.exp(x)), TAIL, 1e-15),
    ("log_sigmoid", h._log_sigmoid, lambda x: -mpmath.log1p(mpmath.exp(-x)), -TAIL, 1e-15),
    ("erf", s._erf, mpmath.erf, np.r_[LINE, TINY], 1e-15),
    ("erfc", s._erfc, mpmath.erfc, np.r_[LINE, TINY, rng.uniform(6, 26.5, 40)], 1e-15),
    ("gammaln", s._gammaln, mpmath.loggamma, np.r_[POSITIVE, ROOTS], 1e-15),
    ("gammaln<0", s._gammaln, lambda x: mpmath.log(abs(mpmath.gamma(x))), NEGATIVE, 1e-13),
    ("digamma", s._digamma, lambda x: mpmath.psi(0, x), np.r_[POSITIVE, ROOTS], 2e-15),
    ("digamma<0", s._digamma, lambda x: mpmath.psi(0, x), NEGATIVE, 1e-12),
    *(
        (f"polygamma{n}", lambda x, n=n: s._polygamma(n, x), lambda x, n=n: mpmath.psi(n, x), points, tolerance)
        for n in (0, 1, 2, 3, 7, 20)
        for points, tolerance in ((rng.uniform(0.01, 40, 20), 1e-14), (rng.uniform(-5, 0, 10), 1e-13))
    ),
    ("polygamma100", lambda x: s._polygamma(100, x), lambda x: mpmath.psi(100, x), rng.uniform(0.1, 40, 20), 1e-14),
    ("logit", h._logit, lambda p: mpmath.log(p / (1 - p)), np.r_[TINY, rng.uniform(0, 1, 40), 0.5 + 1e-9 * LINE], 1e-15),
]
ELEMENTWISE: list[tuple[Any, Any]] = [
    (h._sigmoid, scipy.special.expit),
    (h._softplus, lambda x: np.logaddexp(0, x)),
    (h._log_sigmoid, scipy.special.log_expit),
    (s._erf, scipy.special.erf),
    (s._erfc, scipy.special.erfc),
    (s._gammaln, scipy.special.gammaln),
    (s._digamma, scipy.special.digamma),
    (lambda x: s._polygamma(2, x), lambda x: scipy.special.polygamma(2, x)),
    (h._logit, scipy.special.logit),
    (h._entr, scipy.special.entr),
    (lambda x: h._xlogy(x, x), lambda x: scipy.special.xlogy(x, x)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0,), (5,), (70, 80), (4096,), (3, 40, 50)])
def test_choices_in_bits_are_where(shape: tuple[int, ...], dtype: Any) -> None:
    x = frozen(rng.choice([*rng.normal(size=50), np.nan, np.inf, -np.inf, -0.0], shape), dtype)
    for mask in (rng.uniform(size=shape) < 0.5, rng.uniform(size=shape[-1:]) < 0.5, rng.uniform(size=(*shape[:-1], 1)) < 0.5, np.zeros(shape, bool)):
        whole = np.broadcast_to(mask, shape)
        for one, other in ((mask, x), (whole.T, x.T), (whole[::-1], x[::-1])):
            found, expected = h._masked(one, other), np.where(one, other, dtype(0.0))
            assert found.dtype == dtype and found.tobytes() == expected.tobytes()
            found, expected = h._masked(whole, x[..., :1]), np.where(whole, x[..., :1], dtype(0.0))
            assert found.dtype == dtype and found.tobytes() == expected.tobytes()
            found, expected = h._signed(one, other), np.where(one, other, -other)
            assert found.dtype == dtype and found.shape == expected.shape and found.tobytes() == expected.tobytes()


def frozen(x: Any, dtype: Any = np.float64) -> Any:
    out = np.array(x, dtype)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(("function", "reference", "points", "tolerance"), [row[1:] for row in EXACT],
                         ids=[f"{i}-{row[0]}" for i, row in enumerate(EXACT)])
def test_accuracy(function: Any, reference: Any, points: Any, tolerance: float) -> None:
    """Of many entries, and of few, which go another way."""
    few = [function(frozen(points[start : start + 10])) for start in range(0, len(points), 10)]
    many = function(frozen(np.resize(points, 9000)))[: len(points)]
    with mpmath.workdps(40):
        for x, *found in zip(points, many, np.concatenate(few), strict=True):
            want = reference(mpmath.mpf(float(x)))
            assert all(abs(mpmath.mpf(float(y)) - want) <= tolerance * abs(want) for y in found), x


def log_gamma(x: Any) -> Any:
    return mpmath.log(abs(mpmath.gamma(x)))


# roots on both sides of some negative integers, where the sum of large terms is nearly 0
NEGATIVE_ROOTS: list[tuple[str, Any, Any, tuple[float, ...], float]] = [
    ("gammaln", s._gammaln, log_gamma, (-2.457, -2.7477, -3.1436, -3.9553, -5.00821, -8.9999972, -11.000000025), 6e-15),
    ("digamma", s._digamma, lambda x: mpmath.psi(0, x), (-0.504, -1.5735, -2.6107, -6.6784, -12.719), 2e-15),
    ("polygamma2", lambda x: s._polygamma(2, x), lambda x: mpmath.psi(2, x), (-0.49, -1.54, -6.52), 4e-14),
]


@pytest.mark.parametrize(("function", "reference", "roots", "tolerance"), [row[1:] for row in NEGATIVE_ROOTS], ids=[row[0] for row in NEGATIVE_ROOTS])
def test_accuracy_at_negative_roots(function: Any, reference: Any, roots: tuple[float, ...], tolerance: float) -> None:
    """There the relative error has no bound; the absolute one has, and it is less than what the two neighbours of x make."""
    with mpmath.workdps(40):
        for start in roots:
            root = float(mpmath.findroot(reference, start))
            for x in root * (1 + np.r_[0, 2.3e-16, 10.0 ** rng.uniform(-15, -9, 10)]):
                y, want = mpmath.mpf(float(function(frozen(x)))), reference(mpmath.mpf(x))
                assert abs(y - want) <= tolerance
                assert abs(y - want) <= 2 * abs(reference(mpmath.mpf(np.nextafter(x, 0))) - want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [10, 5000])
def test_choices_and_sums_of_exponentials(count: int, dtype: Any) -> None:
    """Entry by entry or in bits, of arrays and numbers in either place, broadcast or not."""
    x, y = frozen(20 * rng.normal(size=count), dtype), frozen(20 * rng.normal(size=count), dtype)
    mask = rng.random(count) > 0.5
    infinite = np.array([-np.inf, np.inf, -np.inf, np.nan, 0.0], dtype)
    for one, other in ((x, y), (x, 2.0), (dtype(0.5), y), (x[:5, None], y), (x, y[:1]), (np.r_[x, infinite], np.r_[y, infinite[::-1]])):
        chosen = np.resize(mask, np.broadcast(one, other).shape)
        for where in (chosen, mask[:1]):
            got = h._where(where, one, other)
            assert got.dtype == dtype
            np.testing.assert_array_equal(got, np.where(where, one, other))
        with np.errstate(invalid="ignore"):
            got, want = h._logaddexp(one, other), np.logaddexp(one, other)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps, atol=80 * np.finfo(dtype).eps)


BROADCAST = [((70, 70), (1, 70, 70)), ((1, 70, 70), (70, 70)), ((70, 70), (3, 1, 70)), ((70, 1, 70), (1, 3, 70)), ((300, 300), (300, 300))]


@pytest.mark.parametrize(("mask", "one"), BROADCAST)
def test_choices_of_arrays_that_broadcast(mask: tuple[int, ...], one: tuple[int, ...]) -> None:
    """As many entries are not the same shape: a mask beside a stack of one matrix."""
    where, x = rng.random(mask) > 0.5, frozen(rng.normal(size=one))
    for each in (where, np.sort(where, axis=-1), where[::-1]):
        np.testing.assert_array_equal(h._where(each, x, 2.0), np.where(each, x, 2.0))
    if len({np.broadcast_shapes(mask, one), mask, one}) < 3:
        np.testing.assert_array_equal(h._masked(where, x), np.where(where, x, 0.0))
    if np.broadcast_shapes(mask, one) == one:
        np.testing.assert_array_equal(h._signed(where, x), np.where(where, x, -x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_logits_with_and_without_a_large_one(dtype: Any) -> None:
    x = (10 * rng.normal(size=9000)).astype(dtype)
    for largest in (39.0, 900.0):
        x[7] = largest
        exact = np.logaddexp(0, x.astype(np.longdouble))
        softplus, sigmoid = h._softplus_and_sigmoid(frozen(x, dtype))
        np.testing.assert_array_equal(softplus, h._softplus(x))
        np.testing.assert_array_equal(sigmoid, h._sigmoid(x))
        np.testing.assert_allclose(softplus, exact.astype(np.float64), rtol=5 * np.finfo(dtype).eps)
        np.testing.assert_allclose(sigmoid, np.exp(x - exact).astype(np.float64), rtol=5 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_each_of_two_has_in_the_sum_of_their_exponentials(dtype: Any) -> None:
    x, y = (30 * rng.normal(size=(2, 9000))).astype(dtype)
    y[0], y[1:3] = x[0] + dtype(1e-3), x[1:3]
    exact = np.logaddexp(x.astype(np.longdouble), y.astype(np.longdouble))
    out, first, second = h._logaddexp_and_shares(frozen(x, dtype), frozen(y, dtype))
    assert out.dtype == first.dtype == second.dtype == dtype
    np.testing.assert_allclose(out, exact.astype(np.float64), rtol=4 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)
    for share, of in ((first, x), (second, y)):
        inside = np.abs(x - y) < 80
        np.testing.assert_allclose(share[inside], np.exp(of - exact).astype(np.float64)[inside], rtol=64 * np.finfo(dtype).eps)
        np.testing.assert_allclose(share, np.exp(of - exact).astype(np.float64), rtol=64 * np.finfo(dtype).eps, atol=1e-34)
    with np.errstate(invalid="ignore"):
        assert np.isnan(h._logaddexp_and_shares(dtype("nan"), dtype(0))).all()
    assert all(isinstance(each, dtype) for each in h._logaddexp_and_shares(dtype(-np.inf), dtype(-np.inf)))
    for a, b in ((np.inf, 1.0), (-np.inf, 1.0), (2.0, -np.inf), (-np.inf, -np.inf), (np.inf, np.inf), (0.0, -50.0), (3.0, 900.0)):
        with np.errstate(all="raise", under="ignore", invalid="ignore" if a == b == np.inf else "raise"):
            out, first, second = h._logaddexp_and_shares(dtype(a), np.array([b], dtype))
        np.testing.assert_allclose(out, np.logaddexp(a, b), rtol=1e-7 if dtype == np.float32 else 1e-15)
        if np.isfinite([a, b]).any():
            np.testing.assert_allclose([first[0], second[0]], [a > b, b > a], atol=1e-20)


@pytest.mark.parametrize("row", range(len(ELEMENTWISE)))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elementwise(row: int, dtype: Any) -> None:
    function, reference = ELEMENTWISE[row]
    x = frozen(np.r_[0.1:5:9000j], dtype).reshape(3, -1)[:, ::2].T
    with np.errstate(all="ignore"):
        want = reference(x.astype(np.float64))
    got = function(x)
    assert got.dtype == dtype and got.shape == x.shape
    np.testing.assert_allclose(got, want, rtol=4e-6 if dtype == np.float32 else 2e-12, atol=1e-6 * (dtype == np.float32))
    for shape in ((0,), (2, 0)):
        assert function(np.zeros(shape, dtype)).shape == shape
    for scalar in (dtype(0.3), np.array(0.3, dtype)):
        assert function(scalar).dtype == dtype and np.ndim(function(scalar)) == 0
        assert isinstance(function(scalar), np.generic)
    assert isinstance(function(0.3), float)
    assert function(frozen([1e38, -1e38], np.float32).astype(dtype)).dtype == dtype


@pytest.mark.parametrize("row", range(len(ELEMENTWISE)))
def test_special_values(row: int) -> None:
    function, reference = ELEMENTWISE[row]
    points = SPECIAL[~np.isinf(SPECIAL) | (row not in (5, 6, 7))]  # SciPy's gammaln, psi at -inf: conventions differ
    with np.errstate(all="ignore"):
        want = reference(points)
    np.testing.assert_allclose(function(frozen(points)), want, rtol=1e-14)
    np.testing.assert_allclose(function(frozen(np.tile(points, 50))), np.tile(want, 50), rtol=1e-14)
    for point, value in zip(points, want, strict=True):
        np.testing.assert_allclose(function(frozen([point])), [value], rtol=1e-14)


def test_xlogy() -> None:
    np.testing.assert_array_equal(h._xlogy(frozen([0, 0, 0, 1, 0]), frozen([0, -1, np.inf, 0, np.nan])),
                                  [0, 0, 0, -np.inf, np.nan])


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_sums(axis: Any, dtype: Any) -> None:
    x = frozen(500 * rng.normal(size=(3, 4, 5)), dtype)
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    for keepdims in (False, True):
        got = softmax_helpers._logsumexp(x, axis, keepdims)
        want = scipy.special.logsumexp(x.astype(float), axis=axis, keepdims=keepdims)
        assert got.dtype == dtype and got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=tolerance)
    for got, want in ((softmax_helpers._softmax(x, axis), scipy.special.softmax), (softmax_helpers._log_softmax(x, axis), scipy.special.log_softmax)):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want(x.astype(float), axis=axis), rtol=tolerance, atol=tolerance)
    # of one exponential, the same to the last bit
    both, log = softmax_helpers._softmax_and_log(x, axis)
    np.testing.assert_array_equal(both, softmax_helpers._softmax(x, axis))
    np.testing.assert_array_equal(log, softmax_helpers._log_softmax(x, axis))
    both, total = softmax_helpers._softmax_and_logsumexp(x, axis)
    np.testing.assert_array_equal(both, softmax_helpers._softmax(x, axis))
    np.testing.assert_array_equal(total, softmax_helpers._logsumexp(x, axis, True))


def test_log_sums_at_infinity() -> None:
    inf = np.inf
    x = frozen([[-inf, -inf], [inf, 1000], [inf, -inf], [0, np.nan]])
    np.testing.assert_array_equal(softmax_helpers._logsumexp(x, 1), [-inf, inf, inf, np.nan])
    np.testing.assert_array_equal(softmax_helpers._logsumexp(np.zeros((2, 0)), 1), [-inf, -inf])
    assert softmax_helpers._logsumexp(np.zeros((0,))) == -inf
    np.testing.assert_array_equal(softmax_helpers._softmax(frozen([-inf, 0.0])), [0, 1])
    assert np.isnan(softmax_helpers._softmax(x)[0]).all() and np.isnan(softmax_helpers._log_softmax(x)[0]).all()
    assert softmax_helpers._softmax(np.zeros((2, 0)), 1).shape == softmax_helpers._log_softmax(np.zeros((2, 0)), 1).shape == (2, 0)


@pytest.mark.parametrize("have", [(), (1,), (3,), (2, 3), (1, 3), (2, 1), (4, 2, 3), (4, 1, 1), (0, 3), (1, 0, 1)])
@pytest.mark.parametrize("want", [(), (1,), (3,), (2, 3), (1, 3), (2, 1), (4, 2, 3), (1, 1, 1)])
def test_unbroadcast(have: tuple[int, ...], want: tuple[int, ...]) -> None:
    try:
        full = np.broadcast_shapes(have, want)
    except ValueError:
        return
    g = frozen(rng.normal(size=have), np.float32)
    lead = len(full) - len(want)
    axes = tuple(i for i in range(len(full)) if i < lead or want[i - lead] == 1)
    keep = tuple(i for i in axes if i >= len(full) - len(have) and g.shape[i - len(full)] != 1)
    reference = g.sum(tuple(i - len(full) for i in keep), keepdims=True)
    reference = np.broadcast_to(reference.reshape(reference.shape[max(len(have) - len(want), 0):]), want)
    got = h._unbroadcast(g, want)
    assert got.shape == want and got.dtype == np.float32
    np.testing.assert_allclose(got, reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (2, 1)])
@pytest.mark.parametrize("zeros", [0, 1, 30])
def test_prod_others(axis: Any, zeros: int) -> None:
    x = rng.normal(size=(3, 4, 5))
    x.flat[rng.permutation(60)[:zeros]] = 0.0
    want = np.empty_like(x)
    for i in np.ndindex(x.shape):
        one = x.copy()
        one[i] = 1.0
        product = np.prod(one, axis=axis, keepdims=True)
        want[i] = np.broadcast_to(product, x.shape)[i]
    np.testing.assert_allclose(h._prod_others(frozen(x), axis), want, rtol=1e-12)
    assert h._prod_others(frozen(x, np.float32), axis).dtype == np.float32


def test_prod_others_small() -> None:
    assert h._prod_others(np.float32(3.0)) == 1.0 and h._prod_others(np.zeros((2, 0)), 1).shape == (2, 0)
    np.testing.assert_array_equal(h._prod_others(frozen([5.0])), [1.0])


PICKS = rng.integers(-7, 7, 400)
INDICES: list[Any] = [
    (PICKS,), PICKS, (PICKS, slice(None)), (PICKS.astype(np.int8), slice(None), slice(None)), (PICKS[:4],), (slice(None), PICKS % 5), (PICKS, PICKS % 5),
    (PICKS[:, None], np.arange(5)), (..., PICKS % 3), (2,), (slice(1, 3), 0), (None, 1), (PICKS > 0)[:7], ([1, 1, 2], 0), (), ...,
    (np.zeros(0, int),), (np.int64(3),),
]


@pytest.mark.parametrize("k", range(len(INDICES)))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scatter_add(k: int, dtype: Any) -> None:
    shape, index = (7, 5, 3), INDICES[k]
    g = frozen(rng.normal(size=np.zeros(shape)[index].shape), dtype)
    want = np.zeros(shape)
    np.add.at(want, index, g)
    got = index_helpers._scatter_add(shape, index, g)
    assert got.dtype == dtype and got.shape == shape
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rest", [(), (1,), (2,), (3,), (4, 5), (0,), (300,), (40_001,)])
@pytest.mark.parametrize("rows", [np.zeros(0, int), PICKS[:6], PICKS, PICKS.reshape(20, 20).astype(np.int8)[:, ::2], np.arange(7, dtype=np.uint64)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_rows_are_added_where_they_were_taken(rest: tuple[int, ...], rows: Any, dtype: Any) -> None:
    rows = rows[:3] if rest == (40_001,) else rows
    g = frozen(10 * rng.normal(size=rows.shape + rest)).astype(dtype)
    want = np.zeros((7, *rest))
    np.add.at(want, rows, g)
    got = index_helpers._add_rows((7, *rest), rows, g)
    assert got.dtype == dtype and got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)
    turned = np.broadcast_to(g.T, g.T.shape).T  # not in one piece
    np.testing.assert_array_equal(index_helpers._add_rows((7, *rest), rows, turned), got)


def test_added_rows_keep_what_is_not_finite_to_themselves() -> None:
    g = np.ones((300, 4))
    g[5, 1], g[6, 2] = np.nan, np.inf
    got = index_helpers._add_rows((10, 4), np.arange(300) % 10, g)
    assert np.isnan(got[5, 1]) and got[6, 2] == np.inf
    assert np.isfinite(got).sum() == 38


@pytest.mark.parametrize("rows", [PICKS[:6], PICKS.reshape(20, 20), np.zeros(0, int), np.arange(7, dtype=np.uint64), np.array([3], np.int8)])
@pytest.mark.parametrize("x", [np.arange(7.0), np.arange(21.0).reshape(7, 3), np.arange(21.0).reshape(3, 7).T, np.ones((7, 4, 5), np.float32)])
def test_rows(x: Any, rows: Any) -> None:
    got = index_helpers._rows(x, rows)
    assert got.dtype == x.dtype and got.flags.owndata
    np.testing.assert_array_equal(got, x[rows])


def test_rows_out_of_range_are_refused() -> None:
    for bad in (7, -8):
        for call in (
            lambda index: index_helpers._scatter_add((7, 3), (index,), np.ones((400, 3))),
            lambda index: index_helpers._add_rows((7, 3), index, np.ones((400, 3))),
            lambda index: index_helpers._add_rows((7, 4), index, np.ones((400, 4))),
            lambda index: index_helpers._add_rows((7, 4), index[:9], np.ones((9, 4))),
            lambda index: index_helpers._rows(np.ones((7, 3)), index),
        ):
            with pytest.raises(IndexError):
                call(np.full(400, bad))


@pytest.mark.parametrize("padding", [None, ((1, 1), (2, 0)), ((3, 0), (0, 3))])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize(("size", "dilation"), [((2, 2), (1, 1)), ((3, 1), (2, 1)), ((1, 3), (1, 2))])
@pytest.mark.parametrize("lead", [(), (2, 3), (0,)])
def test_windows(lead: tuple[int, ...], size: Any, dilation: Any, stride: Any, padding: Any) -> None:
    x = frozen(rng.normal(size=(*lead, 7, 8)))
    wide = np.pad(x, [(0, 0)] * len(lead) + list(padding or [(0, 0)] * 2), constant_values=-1.5)
    spans = tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(wide, spans, (-2, -1))[..., :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    got = index_helpers._windows(x, size, stride, dilation, padding, -1.5)
    np.testing.assert_array_equal(got, np.moveaxis(view, (-2, -1), (-4, -3)))
    turned = np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)  # not in one piece
    np.testing.assert_array_equal(index_helpers._windows(turned, size, stride, dilation, padding, -1.5), got)
    # the transpose: <windows(x), g> = <x, unwindows(g)>
    g = frozen(rng.normal(size=got.shape))
    back = index_helpers._unwindows(g, (7, 8), stride, dilation, padding)
    assert back.shape == x.shape
    np.testing.assert_allclose((back * x).sum(), (index_helpers._windows(x, size, stride, dilation, padding) * g).sum(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("shape", "widths"), [((5,), ((1, 2),)), ((2, 3), ((0, 0), (3, 0))), ((0, 2, 1), ((1, 1), (0, 1), (2, 2)))])
@pytest.mark.parametrize("fill", [0, -np.inf, 2.5])
def test_pad(shape: tuple[int, ...], widths: Any, fill: float) -> None:
    x = frozen(rng.normal(size=shape), np.float32)
    got = index_helpers._pad(x, widths, fill)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.pad(x, widths, constant_values=fill))


@pytest.mark.parametrize("shift", [0, 1, -1, 3, 4, -9, 11])
@pytest.mark.parametrize(("shape", "axis"), [((4,), 0), ((4,), -1), ((3, 4, 2), 1), ((3, 4, 2), -1), ((0, 2), 0), ((2, 0), 0)])
def test_roll(shape: tuple[int, ...], axis: int, shift: int) -> None:
    x = frozen(rng.normal(size=shape), np.float32)
    got = index_helpers._roll(x, shift, axis)
    assert got.dtype == np.float32 and got.flags.owndata
    np.testing.assert_array_equal(got, np.roll(x, shift, axis))


def test_a_number_is_numpys() -> None:
    for x, dtype in ((0.5, np.float64), (np.float64(0.5), np.float64), (np.float32(0.5), np.float32), (3, np.float64)):
        for rank in (0, None):
            found = h._float_array(x, "x", rank)
            assert isinstance(found, dtype) and found == x
    with pytest.raises(ValueError, match=r"x must be an array of 1 axis, not of shape \(\)"):
        h._float_array(0.5, "x", 1)


@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (2, 3)])
def test_cotangent(shape: tuple[int, ...]) -> None:
    for g in (2.0, 2, np.array(2.0), np.float32(2), None):
        found = h._cotangent(g, "dL", shape, np.dtype(np.float32))
        assert found.shape == shape and found.dtype == np.float32 and (found == (0 if g is None else 2)).all()
        assert isinstance(found, np.generic) or not found.flags.writeable
    g = rng.normal(size=shape)
    np.testing.assert_array_equal(h._cotangent(g, "dL", shape, g.dtype), g)
    with pytest.raises(ValueError, match=r"dL must have the shape .*, not \(5,\)"):
        h._cotangent(np.ones(5), "dL", shape, g.dtype)


@pytest.mark.parametrize("count", [1, 5, 1000])
def test_range(count: int) -> None:
    x = rng.integers(2, 7, (count, 2))
    x[0] = 2, 6
    h._check_range(x, "x", 2, 7)
    h._check_range(x[:0], "x", 2, 2)
    for low, high in ((3, 7), (2, 6)):
        with pytest.raises(ValueError, match=f"x must lie in {low}:{high}, and holds 2 to 6"):
            h._check_range(x, "x", low, high)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (5, 5), (64, 64), (65, 65), (2, 150, 150)])
def test_the_inverse_of_an_upper_triangle(shape: tuple[int, ...], dtype: Any) -> None:
    U = np.triu(rng.normal(size=shape).astype(dtype)) / 8 + np.eye(shape[-1], dtype=dtype)
    X = m._inv_upper(U)
    assert X.dtype == dtype
    assert not np.tril(X, -1).any()
    np.testing.assert_allclose(U @ X, np.broadcast_to(np.eye(shape[-1]), shape), atol=50 * np.finfo(dtype).eps)
    with pytest.raises(np.linalg.LinAlgError):
        m._inv_upper(np.zeros((70, 70), dtype))
