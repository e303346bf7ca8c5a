"""A linear-chain conditional random field over a batch of sequences: the likelihood of their labels, by the forward algorithm."""

import numpy as np

EXPR = """
input X: [T, N, D]
input y: int[T, N] in 0:K
param W: [D, K]
param A: [K, K]

E = X @ W
def step(alpha, e) = logsumexp(alpha[:, :, None] + A, axis=1) + e

score = sum(E * one_hot(y, K)) + sum(A[y[:-1], y[1:]])
L = (sum(logsumexp(fold(step, E[0], E[1:]), axis=1)) - score) / N
"""
SIZES = {"tiny": dict(T=4, N=3, D=4, K=3), "medium": dict(T=40, N=32, D=50, K=10), "large": dict(T=60, N=256, D=100, K=30)}


def inputs(rng, T, N, D, K):
    return rng.normal(size=(T, N, D)), rng.integers(K, size=(T, N)), rng.normal(size=(D, K)) / D**0.5, rng.normal(size=(K, K))


def _logsumexp(x):
    most = x.max(axis=1)
    return most + np.log(np.exp(x - most[:, None]).sum(axis=1))


def by_hand(X, y, W, A):
    T, N, D = X.shape
    E = X @ W
    alphas = [E[0]]
    for e in E[1:]:
        alphas.append(_logsumexp(alphas[-1][:, :, None] + A) + e)
    logZ = _logsumexp(alphas[-1])
    where = np.arange(T)[:, None], np.arange(N), y
    L = (logZ.sum() - E[where].sum() - A[y[:-1], y[1:]].sum()) / N
    da = np.exp(alphas[-1] - logZ[:, None]) / N
    dE, dA = np.empty_like(E), np.zeros_like(A)
    for t in range(T - 1, 0, -1):
        dE[t] = da
        shares = da[:, None, :] * np.exp(alphas[t - 1][:, :, None] + A - (alphas[t] - E[t])[:, None, :])
        dA += shares.sum(axis=0)
        da = shares.sum(axis=2)
    dE[0] = da
    dE[where] -= 1 / N
    np.subtract.at(dA, (y[:-1], y[1:]), 1 / N)
    return L, (X.reshape(T * N, D).T @ dE.reshape(T * N, -1), dA)


def formula(xp, X, y, W, A):
    E = X @ W
    last, _ = xp.scan(lambda a, e: (xp.logsumexp(a[:, None, :] + A.T) + e, a), E[0], E[1:])
    picked = xp.where(y[:, :, None] == xp.arange(A.shape[0]), E, 0.0)
    return (xp.sum(xp.logsumexp(last)) - xp.sum(picked) - xp.sum(A[y[:-1], y[1:]])) / X.shape[1]


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
