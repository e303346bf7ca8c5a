"""A contrastive loss (InfoNCE): of all the second views, each first view's own is to be the nearest by cosine."""

import numpy as np

EXPR = """
input X, Y: [N, D]             # two views of the same N things
param V: [D, K]
param W: [D, K]
const temperature = 0.2

A = X @ V
B = Y @ W
logits = (A / norm(A, axis=1, keepdims=True)) @ (B / norm(B, axis=1, keepdims=True)).T / temperature
L = cross_entropy(logits, arange(N))
"""
SIZES = {"tiny": dict(N=5, D=3, K=2), "medium": dict(N=256, D=64, K=32), "large": dict(N=2000, D=128, K=64)}


def inputs(rng, N, D, K):
    X = rng.normal(size=(N, D))
    return X, X + rng.normal(size=(N, D)) / 2, rng.normal(size=(D, K)) / np.sqrt(D), rng.normal(size=(D, K)) / np.sqrt(D)


def by_hand(X, Y, V, W, temperature=0.2):
    N = len(X)
    A, B = X @ V, Y @ W
    a, b = np.sqrt((A**2).sum(axis=1, keepdims=True)), np.sqrt((B**2).sum(axis=1, keepdims=True))
    A, B = A / a, B / b
    Z = A @ B.T / temperature
    Z -= Z.max(axis=1, keepdims=True)
    E = np.exp(Z)
    total = E.sum(axis=1, keepdims=True)
    L = (np.log(total[:, 0]) - np.diag(Z)).mean()
    E /= total
    E[np.arange(N), np.arange(N)] -= 1
    E /= N * temperature
    dA, dB = E @ B, E.T @ A
    dA = (dA - A * (dA * A).sum(axis=1, keepdims=True)) / a
    dB = (dB - B * (dB * B).sum(axis=1, keepdims=True)) / b
    return L, (X.T @ dA, Y.T @ dB)


def formula(xp, X, Y, V, W, temperature=0.2):
    A, B = X @ V, Y @ W
    A, B = (each / xp.sqrt(xp.sum(each**2, axis=1, keepdims=True)) for each in (A, B))
    log_p = xp.log_softmax(A @ B.T / temperature)
    return -xp.mean(xp.diag(log_p))
