"""Logistic regression with a ridge penalty."""

import numpy as np

EXPR = """
input X: [N, D]
input y: [N]                   # 0 or 1
param w: [D]
param b: []
const lam = 0.01

z = X @ w + b
L = binary_cross_entropy(z, y) + lam / 2 * sum(w ** 2)
"""
SIZES = {"tiny": dict(N=8, D=3), "medium": dict(N=10_000, D=100), "large": dict(N=500_000, D=50)}


def inputs(rng, N, D):
    X = rng.normal(size=(N, D))
    return X, (X.sum(axis=1) + rng.normal(size=N) > 0).astype(float), rng.normal(size=D) / np.sqrt(D), 0.1


def by_hand(X, y, w, b, lam=0.01):
    z = X @ w + b
    L = (np.logaddexp(0, z) - y * z).mean() + lam / 2 * (w**2).sum()
    dz = (1 / (1 + np.exp(-z)) - y) / len(y)
    return L, (X.T @ dz + lam * w, dz.sum())


def formula(xp, X, y, w, b, lam=0.01):
    z = X @ w + b
    return xp.mean(xp.softplus(z) - y * z) + lam / 2 * xp.sum(w**2)
