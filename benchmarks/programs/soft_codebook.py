"""A soft codebook: points are mixed of the nearest codes, and a target is read from the mixture."""

import numpy as np

EXPR = """
input X: [N, D]
input y: [N, M]
param C: [K, D]                # the codes
param W: [D, M]
const tau = 0.5

distance = sum((X[:, None, :] - C) ** 2, axis=-1)
p = softmax(-distance / tau, axis=-1)
L = mean((p @ C @ W - y) ** 2) + 0.1 * mean(sum(p * distance, axis=-1)) - 0.01 * mean(sum(p * log(p + 1e-9), axis=-1))
"""
SIZES = {
    "tiny": dict(N=6, D=3, K=4, M=2),
    "medium": dict(N=1_000, D=8, K=32, M=4),
    "large": dict(N=50_000, D=16, K=64, M=8),
}


def inputs(rng, N, D, K, M):
    return rng.normal(size=(N, D)), rng.normal(size=(N, M)), rng.normal(size=(K, D)), rng.normal(size=(D, M)) / np.sqrt(D)


def by_hand(X, y, C, W, tau=0.5):
    N = len(X)
    difference = X[:, None, :] - C
    distance = (difference**2).sum(axis=-1)
    z = -distance / tau
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    code = p @ C
    error = code @ W - y
    logs = np.log(p + 1e-9)
    L = (error**2).mean() + 0.1 * (p * distance).sum(axis=1).mean() - 0.01 * (p * logs).sum(axis=1).mean()
    dout = 2 / error.size * error
    dcode = dout @ W.T
    dp = dcode @ C.T + 0.1 / N * distance - 0.01 / N * (logs + p / (p + 1e-9))
    dz = p * (dp - (dp * p).sum(axis=1, keepdims=True))
    ddistance = 0.1 / N * p - dz / tau
    return L, (p.T @ dcode - 2 * (ddistance[:, :, None] * difference).sum(axis=0), code.T @ dout)


def formula(xp, X, y, C, W, tau=0.5):
    distance = xp.sum((X[:, None, :] - C) ** 2, -1)
    p = xp.softmax(-distance / tau)
    error = p @ C @ W - y
    return xp.mean(error**2) + 0.1 * xp.mean(xp.sum(p * distance, -1)) - 0.01 * xp.mean(xp.sum(p * xp.log(p + 1e-9), -1))


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
