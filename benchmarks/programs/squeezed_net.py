"""A regression network that gates its features by what all of them are on average, with a robust loss."""

import numpy as np

EXPR = """
input X: [N, D]
input y: [N]
param W: [D, H]
param G: [H, H]
param v: [H]

features = silu(X @ W)
gates = sigmoid(features @ G)
error = sum(features * gates * v, axis=1) - y
L = mean(sqrt(1 + error ** 2) - 1)
"""
SIZES = {"tiny": dict(N=5, D=3, H=2), "medium": dict(N=1_000, D=32, H=64), "large": dict(N=50_000, D=32, H=64)}


def inputs(rng, N, D, H):
    return rng.normal(size=(N, D)), rng.normal(size=N), *(rng.normal(size=shape) / np.sqrt(shape[0]) for shape in ((D, H), (H, H), (H,)))


def by_hand(X, y, W, G, v):
    N = len(X)
    Z = X @ W
    s = 1 / (1 + np.exp(-Z))
    features = Z * s
    gates = 1 / (1 + np.exp(-(features @ G)))
    gated = features * gates
    error = gated @ v - y
    root = np.sqrt(1 + error**2)
    derror = error / root / N
    dgated = np.outer(derror, v)
    dgates = dgated * features * gates * (1 - gates)
    dfeatures = dgated * gates + dgates @ G.T
    dZ = dfeatures * (s + features * (1 - s))
    return (root - 1).mean(), (X.T @ dZ, features.T @ dgates, gated.T @ derror)


def formula(xp, X, y, W, G, v):
    Z = X @ W
    features = Z * xp.sigmoid(Z)
    error = xp.sum(features * xp.sigmoid(features @ G) * v, 1) - y
    return xp.mean(xp.sqrt(1 + error**2) - 1)
