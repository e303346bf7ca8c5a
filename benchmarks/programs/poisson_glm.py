"""Poisson regression with a log link and exposures: the mean negative log-likelihood of counts."""

import numpy as np
from scipy.special import gammaln

EXPR = """
input X: [N, D]
input y: [N]                   # counts
input exposure: [N] positive
param beta: [D]

eta = X @ beta + log(exposure)
L = mean(exp(eta) - y * eta + gammaln(y + 1))
"""
SIZES = {"tiny": dict(N=10, D=3), "medium": dict(N=10_000, D=50), "large": dict(N=500_000, D=20)}


def inputs(rng, N, D):
    return rng.normal(size=(N, D)), rng.poisson(3, size=N).astype(float), rng.uniform(1, 2, size=N), rng.normal(size=D) / np.sqrt(D)


def by_hand(X, y, exposure, beta):
    eta = X @ beta + np.log(exposure)
    rate = np.exp(eta)
    return (rate - y * eta + gammaln(y + 1)).mean(), (X.T @ (rate - y) / len(y),)


def formula(xp, X, y, exposure, beta):
    eta = X @ beta + xp.log(exposure)
    return xp.mean(xp.exp(eta) - y * eta + xp.gammaln(y + 1))
