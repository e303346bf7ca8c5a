"""A chain of matrix products that ends in a vector, multiplied from the left as it is written."""

import numpy as np

EXPR = """
input A, B: [N, N]
input y: [N]
param x: [N]

L = sum((A @ B @ x - y) ** 2)
"""
SIZES = {"tiny": dict(N=3), "medium": dict(N=300), "large": dict(N=1000)}


def inputs(rng, N):
    return rng.normal(size=(N, N)) / np.sqrt(N), rng.normal(size=(N, N)) / np.sqrt(N), rng.normal(size=N), rng.normal(size=N)


def by_hand(A, B, y, x):
    residual = A @ (B @ x) - y
    return (residual**2).sum(), (2 * (B.T @ (A.T @ residual)),)


def formula(xp, A, B, y, x):
    return xp.sum((A @ B @ x - y) ** 2)
