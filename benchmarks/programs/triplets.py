"""The triplet margin loss of points that are embedded on a sphere (Schroff and others, 2015), the triplets given by their numbers."""

import numpy as np

EXPR = """
input X: [N, D]
input anchor, same, other: int[M] in 0:N
param W: [D, K]

E = X @ W
U = E / sqrt(sum(E ** 2, axis=1, keepdims=True))
near = sum((U[anchor] - U[same]) ** 2, axis=1)
far = sum((U[anchor] - U[other]) ** 2, axis=1)
L = mean(relu(near - far + 0.2))
"""
SIZES = {"tiny": dict(N=5, D=3, K=2, M=6), "medium": dict(N=300, D=64, K=16, M=2000), "large": dict(N=5000, D=128, K=32, M=100000)}


def inputs(rng, N, D, K, M):
    return rng.normal(size=(N, D)), rng.integers(0, N, M), rng.integers(0, N, M), rng.integers(0, N, M), rng.normal(size=(D, K))


def by_hand(X, anchor, same, other, W):
    M = len(anchor)
    E = X @ W
    length = np.sqrt((E**2).sum(axis=1, keepdims=True))
    U = E / length
    a, s, o = U[anchor], U[same], U[other]
    margin = ((a - s) ** 2).sum(axis=1) - ((a - o) ** 2).sum(axis=1) + 0.2
    g = ((margin > 0) * (2 / M)).astype(X.dtype)[:, None]
    dU = np.zeros_like(U)
    np.add.at(dU, anchor, g * (o - s))
    np.add.at(dU, same, g * (s - a))
    np.add.at(dU, other, g * (a - o))
    dE = (dU - U * (dU * U).sum(axis=1, keepdims=True)) / length
    return np.maximum(margin, 0).mean(), (X.T @ dE,)


def formula(xp, X, anchor, same, other, W):
    E = X @ W
    U = E / xp.sqrt(xp.sum(E**2, 1)[:, None])
    near, far = xp.sum((U[anchor] - U[same]) ** 2, 1), xp.sum((U[anchor] - U[other]) ** 2, 1)
    return xp.mean(xp.relu(near - far + 0.2))
