"""Robust regression: errors by Student's distribution, whose scale depends on the row."""

import numpy as np

EXPR = """
input X: [N, D]
input y: [N]
param w: [D]                   # of the mean
param v: [D]                   # of the logarithm of the scale
const dof = 4.0

scale = exp(X @ v)
t = (y - X @ w) / scale
L = mean((dof + 1) / 2 * log(1 + t ** 2 / dof) + log(scale))
"""
SIZES = {"tiny": dict(N=8, D=3), "medium": dict(N=10_000, D=30), "large": dict(N=500_000, D=30)}


def inputs(rng, N, D):
    return rng.normal(size=(N, D)), rng.standard_t(4, size=N), rng.normal(size=D) / np.sqrt(D), rng.normal(size=D) / np.sqrt(D)


def by_hand(X, y, w, v, dof=4.0):
    N = len(y)
    log_scale = X @ v
    scale = np.exp(log_scale)
    t = (y - X @ w) / scale
    L = ((dof + 1) / 2 * np.log1p(t**2 / dof) + log_scale).mean()
    dt = (dof + 1) * t / (dof + t**2)
    return L, (X.T @ (-dt / scale) / N, X.T @ (1 - dt * t) / N)


def formula(xp, X, y, w, v, dof=4.0):
    log_scale = X @ v
    t = (y - X @ w) / xp.exp(log_scale)
    return xp.mean((dof + 1) / 2 * xp.log(1 + t**2 / dof) + log_scale)
