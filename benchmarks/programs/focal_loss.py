"""The focal loss (Lin et al. 2017) of a small network with weights of the classes and smoothed labels."""

import numpy as np
from scipy.special import erf

EXPR = """
input X: [N, D]
input y: int[N] in 0:K
param W1: [D, H]
param W2: [H, K]
param weights: [K]
const gamma = 2.0

Z = X @ W1
q = log_softmax(Z * (1 + erf(Z / sqrt(2))) / 2 @ W2)
chosen = q[arange(N), y]
L = -mean((1 - exp(chosen)) ** gamma * chosen * exp(weights)[y]) - 0.1 * mean(q) + 0.01 * (sum(W1 ** 2) + sum(W2 ** 2))
"""
SIZES = {
    "tiny": dict(N=6, D=3, H=4, K=3),
    "medium": dict(N=2_000, D=32, H=32, K=10),
    "large": dict(N=50_000, D=32, H=64, K=10),
}


def inputs(rng, N, D, H, K):
    X, W1, W2 = rng.normal(size=(N, D)), rng.normal(size=(D, H)) / np.sqrt(D), rng.normal(size=(H, K)) / np.sqrt(H)
    return X, rng.integers(K, size=N), W1, W2, 0.2 * rng.normal(size=K)


def by_hand(X, y, W1, W2, weights, gamma=2.0):
    N, rows = len(X), np.arange(len(X))
    Z = X @ W1
    below = (1 + erf(Z / np.sqrt(2))) / 2
    hidden = Z * below
    q = hidden @ W2
    q -= q.max(axis=1, keepdims=True)
    q -= np.log(np.exp(q).sum(axis=1, keepdims=True))
    chosen, scale = q[rows, y], np.exp(weights)[y]
    p = np.exp(chosen)
    focus = (1 - p) ** gamma
    each = focus * chosen * scale
    L = -each.mean() - 0.1 * q.mean() + 0.01 * ((W1**2).sum() + (W2**2).sum())
    dq = np.full_like(q, -0.1 / q.size)
    dq[rows, y] -= (focus - gamma * (1 - p) ** (gamma - 1) * p * chosen) * scale / N
    dlogits = dq - np.exp(q) * dq.sum(axis=1, keepdims=True)
    dZ = dlogits @ W2.T * (below + Z * np.exp(-(Z**2) / 2) / np.sqrt(2 * np.pi))
    dweights = -np.bincount(y, each, len(weights)) / N
    return L, (X.T @ dZ + 0.02 * W1, hidden.T @ dlogits + 0.02 * W2, dweights.astype(X.dtype))


def formula(xp, X, y, W1, W2, weights, gamma=2.0):
    Z = X @ W1
    q = xp.log_softmax(Z * (1 + xp.erf(Z / np.sqrt(2))) / 2 @ W2)
    chosen = q[xp.arange(len(X)), y]
    each = (1 - xp.exp(chosen)) ** gamma * chosen * xp.exp(weights)[y]
    return -xp.mean(each) - 0.1 * xp.mean(q) + 0.01 * (xp.sum(W1**2) + xp.sum(W2**2))


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
