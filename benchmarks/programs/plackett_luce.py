"""The likelihood of rankings by the Plackett-Luce model, with scores that are linear in features (Xia and others, 2008)."""

import numpy as np

EXPR = """
input X: [N, M, D]                       # of each query's items, in the order of their ranks
param w: [D]

scores = X @ w
shifted = scores - max(scores, axis=1, keepdims=True)
rest = cumsum(exp(shifted)[:, ::-1], axis=1)[:, ::-1]
L = mean(sum(log(rest) - shifted, axis=1)) + 0.005 * sum(w ** 2)
"""
SIZES = {"tiny": dict(N=4, M=3, D=2), "medium": dict(N=500, M=10, D=20), "large": dict(N=20000, M=10, D=40)}


def inputs(rng, N, M, D):
    return rng.normal(size=(N, M, D)), rng.normal(size=D)


def by_hand(X, w):
    N = len(X)
    scores = X @ w
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    rest = np.cumsum(e[:, ::-1], axis=1)[:, ::-1]
    shifted = scores - scores.max(axis=1, keepdims=True)
    dscores = (e * np.cumsum(1 / rest, axis=1) - 1) / N
    return (np.log(rest) - shifted).sum() / N + 0.005 * w @ w, (np.tensordot(dscores, X, axes=2) + 0.01 * w,)


def formula(xp, X, w):
    scores = X @ w
    if hasattr(xp, "from_numpy"):
        shifted = scores - scores.max(1, keepdim=True).values
        rest = xp.flip(xp.cumsum(xp.flip(xp.exp(shifted), (1,)), 1), (1,))
    else:
        shifted = scores - xp.max(scores, axis=1, keepdims=True)
        rest = xp.cumsum(xp.exp(shifted)[:, ::-1], axis=1)[:, ::-1]
    return xp.mean(xp.sum(xp.log(rest) - shifted, 1)) + 0.005 * xp.sum(w**2)
