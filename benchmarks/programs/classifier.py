"""A classifier with one hidden layer; at its medium size 784-256-10 with a batch of 1,024."""

import numpy as np

EXPR = """
input X: [N, D]
input y: int[N] in 0:K
param W1: [D, H]
param b1: [H]
param W2: [H, K]
param b2: [K]

hidden = relu(X @ W1 + b1)
L = cross_entropy(hidden @ W2 + b2, y)
"""
SIZES = {"tiny": dict(N=4, D=5, H=6, K=3), "medium": dict(N=1024, D=784, H=256, K=10), "large": dict(N=20_000, D=784, H=256, K=10)}


def inputs(rng, N, D, H, K):
    X, y = rng.normal(size=(N, D)), rng.integers(0, K, size=N)
    return X, y, rng.normal(size=(D, H)) / np.sqrt(D), rng.normal(size=H) / 10, rng.normal(size=(H, K)) / np.sqrt(H), rng.normal(size=K) / 10


def by_hand(X, y, W1, b1, W2, b2):
    N = len(y)
    A = X @ W1 + b1
    H = np.maximum(A, 0)
    Z = H @ W2 + b2
    Z -= Z.max(axis=1, keepdims=True)
    E = np.exp(Z)
    total = E.sum(axis=1, keepdims=True)
    L = (np.log(total[:, 0]) - Z[np.arange(N), y]).mean()
    dZ = E / total
    dZ[np.arange(N), y] -= 1
    dZ /= N
    dA = (dZ @ W2.T) * (A > 0)
    return L, (X.T @ dA, dA.sum(axis=0), H.T @ dZ, dZ.sum(axis=0))


def formula(xp, X, y, W1, b1, W2, b2):
    log_p = xp.log_softmax(xp.relu(X @ W1 + b1) @ W2 + b2)
    return -xp.mean(log_p[xp.arange(len(y)), y])
