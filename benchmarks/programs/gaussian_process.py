"""Gaussian-process regression: the negative log marginal likelihood of a squared exponential kernel."""

import math

import numpy as np

EXPR = """
input X: [N, D]
input y: [N]
param log_length: [D]
param log_signal, log_noise: []

Z = X / exp(log_length)
distance = sum((Z[:, None] - Z) ** 2, axis=-1)
K = exp(2 * log_signal - distance / 2) + exp(2 * log_noise) * eye(N)
C = cholesky(K)
white = solve_triangular(C, y, lower=True)
L = white @ white / 2 + sum(log(diag(C))) + N / 2 * log(2 * pi)
"""
SIZES = {"tiny": dict(N=5, D=2), "medium": dict(N=200, D=4), "large": dict(N=1000, D=8)}


def inputs(rng, N, D):
    return rng.normal(size=(N, D)), rng.normal(size=N), rng.normal(size=D) / 10, 0.1, -0.5


def by_hand(X, y, log_length, log_signal, log_noise):
    N = len(y)
    Z = X / np.exp(log_length)
    squares = (Z[:, None] - Z) ** 2
    signal = np.exp(2 * log_signal - squares.sum(axis=-1) / 2)
    noise = np.exp(2 * log_noise)
    C = np.linalg.cholesky(signal + noise * np.eye(N, dtype=X.dtype))
    C_inv = np.linalg.inv(C)
    white = C_inv @ y
    L = white @ white / 2 + np.log(np.diag(C)).sum() + N / 2 * math.log(2 * math.pi)
    alpha = C_inv.T @ white
    dK = (C_inv.T @ C_inv - np.outer(alpha, alpha)) / 2
    dscaled = dK * signal
    dlog_length = (dscaled[:, :, None] * squares).sum(axis=(0, 1))
    return L, (dlog_length, 2 * dscaled.sum(), 2 * noise * np.trace(dK))


def formula(xp, X, y, log_length, log_signal, log_noise):
    N = len(y)
    Z = X / xp.exp(log_length)
    distance = xp.sum((Z[:, None] - Z) ** 2, axis=-1)
    K = xp.exp(2 * log_signal - distance / 2) + xp.exp(2 * log_noise) * xp.eye(N, dtype=X.dtype)
    C = xp.linalg.cholesky(K)
    white = xp.solve_triangular(C, y)
    return white @ white / 2 + xp.sum(xp.log(xp.diag(C))) + N / 2 * math.log(2 * math.pi)
