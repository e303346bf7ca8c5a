"""The Hessian of logistic regression."""

import numpy as np

EXPR = """
input X: [N, D]
input y: [N]
input w: [D]

L = binary_cross_entropy(X @ w, y)
H = hessian(L, w)

output H
"""
SIZES = {"tiny": dict(N=8, D=3), "medium": dict(N=300, D=100), "large": dict(N=600, D=300)}


def inputs(rng, N, D):
    return rng.normal(size=(N, D)), rng.integers(0, 2, size=N).astype(float), rng.normal(size=D) / np.sqrt(D)


def by_hand(X, y, w):
    p = 1 / (1 + np.exp(-(X @ w)))
    return (X.T * (p * (1 - p) / len(y))) @ X


def formula(xp, X, y, w):
    def loss(w):
        z = X @ w
        return xp.mean(xp.softplus(z) - y * z)

    return xp.hessian(loss)(w)
