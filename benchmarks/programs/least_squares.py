"""Least squares, the data far more than the unknowns."""


EXPR = """
input X: [N, D]
input y: [N]
param w: [D]

L = mean((X @ w - y) ** 2)
"""
SIZES = {"tiny": dict(N=10, D=3), "medium": dict(N=10_000, D=20), "large": dict(N=1_000_000, D=20)}


def inputs(rng, N, D):
    return rng.normal(size=(N, D)), rng.normal(size=N), rng.normal(size=D)


def by_hand(X, y, w):
    residual = X @ w - y
    return (residual**2).mean(), (2 / len(y) * (X.T @ residual),)


def formula(xp, X, y, w):
    return xp.mean((X @ w - y) ** 2)
