"""Rosenbrock's valley in N dimensions."""

import numpy as np

EXPR = """
param x: [N]

L = sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
"""
SIZES = {"tiny": dict(N=10), "medium": dict(N=10_000), "large": dict(N=1_000_000)}


def inputs(rng, N):
    return (rng.normal(size=N),)


def by_hand(x):
    valley, slope = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    dx = np.zeros_like(x)
    dx[:-1] = -400 * valley * x[:-1] - 2 * slope
    dx[1:] += 200 * valley
    return (100 * valley**2 + slope**2).sum(), (dx,)


def formula(xp, x):
    return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
