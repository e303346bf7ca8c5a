"""Deep embedded clustering: points in a learnt space, each with some of every cluster, by a kernel with Student's tails."""

import numpy as np

EXPR = """
input X: [N, D]
input P: [N, K]                # how much of each cluster each point should have
param W: [D, H]
param C: [K, H]                # the clusters' centres

Z = tanh(X @ W)
near = 1 / (1 + sum((Z[:, None, :] - C) ** 2, axis=-1))
q = near / sum(near, axis=1, keepdims=True)
L = mean(sum(P * log(P / q), axis=1))
"""
SIZES = {"tiny": dict(N=6, D=3, H=2, K=3), "medium": dict(N=1_000, D=64, H=10, K=10), "large": dict(N=50_000, D=64, H=10, K=20)}


def inputs(rng, N, D, H, K):
    P = rng.uniform(0.1, 1, size=(N, K))
    return rng.normal(size=(N, D)), P / P.sum(axis=1, keepdims=True), rng.normal(size=(D, H)) / D**0.5, rng.normal(size=(K, H))


def by_hand(X, P, W, C):
    N = len(X)
    Z = np.tanh(X @ W)
    difference = Z[:, None, :] - C
    near = 1 / (1 + (difference**2).sum(axis=-1))
    q = near / near.sum(axis=1, keepdims=True)
    L = (P * np.log(P / q)).sum() / N
    ddistance = near * (P - q * P.sum(axis=1, keepdims=True)) / N
    ddifference = 2 * ddistance[:, :, None] * difference
    dpre = ddifference.sum(axis=1) * (1 - Z**2)
    return L, (X.T @ dpre, -ddifference.sum(axis=0))


def formula(xp, X, P, W, C):
    Z = xp.tanh(X @ W)
    near = 1 / (1 + xp.sum((Z[:, None, :] - C) ** 2, -1))
    return xp.mean(xp.sum(P * xp.log(P / (near / xp.sum(near, 1)[:, None])), 1))


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
