"""One layer: the sum of sigmoids of a matrix product."""

import numpy as np

EXPR = """
L = sum(sigmoid(X @ W))
"""
SIZES = {"tiny": dict(N=3, D=3, K=2), "medium": dict(N=512, D=256, K=128), "large": dict(N=200_000, D=64, K=1)}


def inputs(rng, N, D, K):
    return rng.normal(size=(N, D)), rng.normal(size=(D, K)) / np.sqrt(D)


def by_hand(X, W):
    S = 1 / (1 + np.exp(-(X @ W)))
    dZ = S * (1 - S)
    return S.sum(), (dZ @ W.T, X.T @ dZ)


def formula(xp, X, W):
    return xp.sum(xp.sigmoid(X @ W))
