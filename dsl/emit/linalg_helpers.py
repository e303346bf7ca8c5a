"""Run-time helpers for matrices and errors, copied as they stand into the generated modules that call them (see helpers.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class _line:
    """`with _line(4, "x = solve(A, b)"):` puts the line of the source into the message of NumPy's LinAlgError."""

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = number, text

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, np.linalg.LinAlgError):
            error.args = (f"{error} in line {self.number}: {self.text}",)


def _nonzero(d: NDArray[Any]) -> NDArray[Any]:
    """d, the diagonal of a matrix, which is singular where an entry is 0."""
    if not np.all(d):
        raise np.linalg.LinAlgError("Singular matrix")
    return d


def _solve_triangular(A: NDArray[Any], b: NDArray[Any], lower: bool = False, unit_diagonal: bool = False) -> NDArray[Any]:
    """inv(T) @ b for the upper (or lower) triangle T of A, by blocks of rows: substitution, mostly in matrix products.

    A lower block is turned round to be an upper one, which LAPACK's row exchanges leave as it is.
    """
    if np.ndim(b) == 1:
        out: NDArray[Any] = _solve_triangular(A, b[:, None], lower, unit_diagonal)[..., 0]
        return out
    n = A.shape[-1]
    x = np.empty((*np.broadcast_shapes(A.shape[:-2], b.shape[:-2]), *b.shape[-2:]), np.result_type(A, b))
    starts = range(0, n, 64)
    for start in starts if lower else reversed(starts):
        stop = min(start + 64, n)
        done = slice(0, start) if lower else slice(stop, n)
        rest = b[..., start:stop, :] - A[..., start:stop, done] @ x[..., done, :]
        block = A[..., start:stop, start:stop]
        block = np.triu(block[..., ::-1, ::-1] if lower else block)
        if unit_diagonal:
            block[..., range(stop - start), range(stop - start)] = 1.0
        solved = np.linalg.solve(block, rest[..., ::-1, :] if lower else rest)
        x[..., start:stop, :] = solved[..., ::-1, :] if lower else solved
    return x


def _inv_upper(U: NDArray[Any]) -> NDArray[Any]:
    """The inverse of an upper triangular U, by blocks of rows from below: a third of the work of `np.linalg.inv`, and each column solved for."""
    n = U.shape[-1]
    if n <= 32:
        return np.linalg.inv(U)
    X = np.zeros_like(U)
    X[..., range(n), range(n)] = 1.0
    for start in reversed(range(0, n, 32)):
        stop = min(start + 32, n)
        if stop < n:
            X[..., start:stop, stop:] = -U[..., start:stop, stop:] @ X[..., stop:, stop:]
        X[..., start:stop, start:] = np.linalg.solve(U[..., start:stop, start:stop], X[..., start:stop, start:])
    return X


def _cofactor(A: NDArray[Any], det: NDArray[Any]) -> NDArray[Any]:
    """det * inv(A).T, which is accurate even for an ill-conditioned A (Stewart, On the adjugate matrix, 1998).

    Singular matrices go through A = U diag(s) Vh: det(U) det(Vh) U diag(c) Vh, where c[i] is the product of all s but s[i].
    """
    singular = np.equal(det, 0.0)
    if not np.any(singular):
        out: NDArray[Any] = np.asarray(det)[..., None, None] * np.linalg.inv(A).swapaxes(-1, -2)
        return out
    U, s, Vh = np.linalg.svd(A)
    n = A.shape[-1]
    others = np.where(np.eye(n, dtype=bool), 1.0, s[..., None, :]).prod(axis=-1, dtype=s.dtype)
    by_svd: NDArray[Any] = (U * (np.linalg.det(U) * np.linalg.det(Vh))[..., None, None] * others[..., None, :]) @ Vh
    if np.ndim(A) == 2 or np.all(singular):
        return by_svd
    by_svd[~singular] = det[~singular][:, None, None] * np.linalg.inv(A[~singular]).swapaxes(-1, -2)
    return by_svd


def _reciprocal_gaps(w: NDArray[Any], squared: bool = False) -> NDArray[Any]:
    """1 / (w[j] - w[i]) at [i, j], or 1 / (w[j]² - w[i]²); 0 where the two are equal to rounding."""
    gap = w[..., None, :] - w[..., :, None]
    largest = np.max(np.abs(w), axis=-1, initial=0.0)[..., None, None]
    equal = np.abs(gap) <= w.shape[-1] * np.finfo(w.dtype).eps * largest
    if squared:
        gap *= w[..., None, :] + w[..., :, None]
    out: NDArray[Any] = np.where(equal, 0.0, 1.0 / np.where(equal, 1.0, gap))
    return out
