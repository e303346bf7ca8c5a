"""Deep sets: a network over the items of each set, their mean, and a network over that."""

import numpy as np

EXPR = """
input X: [N, M, D]             # N sets of M items
input y: [N]
param W1: [D, H]
param b1: [H]
param W2: [H, H]
param b2: [H]
param v: [H]

items = relu(X @ W1 + b1)
sets = tanh(mean(items, axis=1) @ W2 + b2)
L = mean((sets @ v - y) ** 2)
"""
SIZES = {"tiny": dict(N=4, M=3, D=2, H=3), "medium": dict(N=500, M=20, D=16, H=32), "large": dict(N=20_000, M=20, D=16, H=64)}


def inputs(rng, N, M, D, H):
    return (
        rng.normal(size=(N, M, D)),
        rng.normal(size=N),
        rng.normal(size=(D, H)) / np.sqrt(D),
        rng.normal(size=H) / 10,
        rng.normal(size=(H, H)) / np.sqrt(H),
        rng.normal(size=H) / 10,
        rng.normal(size=H) / np.sqrt(H),
    )


def by_hand(X, y, W1, b1, W2, b2, v):
    N, M, D = X.shape
    items = np.maximum(X @ W1 + b1, 0)
    pooled = items.mean(axis=1)
    sets = np.tanh(pooled @ W2 + b2)
    error = sets @ v - y
    dout = 2 / N * error
    dsets = np.outer(dout, v) * (1 - sets**2)
    dpooled = dsets @ W2.T
    ditems = (items > 0) * (dpooled / M)[:, None, :]
    dW1 = X.reshape(-1, D).T @ ditems.reshape(N * M, -1)
    return (error**2).mean(), (dW1, ditems.sum(axis=(0, 1)), pooled.T @ dsets, dsets.sum(axis=0), sets.T @ dout)


def formula(xp, X, y, W1, b1, W2, b2, v):
    items = xp.relu(X @ W1 + b1)
    sets = xp.tanh(xp.mean(items, 1) @ W2 + b2)
    return xp.mean((sets @ v - y) ** 2)
