"""Zero-inflated negative binomial regression: counts of which some are 0 for another reason than chance."""

import numpy as np
from scipy.special import digamma, gammaln

EXPR = """
input X: [N, D]
input y: [N]                   # counts
param w: [D]                   # of the logarithm of the mean
param u: [D]                   # of the log odds of another reason
param log_r: []

r = exp(log_r)
mu = exp(X @ w)
gate = X @ u
zero = r * (log_r - log(r + mu))
count = gammaln(y + r) - gammaln(r) - gammaln(y + 1) + zero + y * (log(mu) - log(r + mu))
L = -mean(where(y > 0, count, logaddexp(gate, zero)) - softplus(gate))
"""
SIZES = {"tiny": dict(N=8, D=3), "medium": dict(N=5_000, D=20), "large": dict(N=200_000, D=20)}


def inputs(rng, N, D):
    X = rng.normal(size=(N, D))
    y = rng.poisson(2, size=N) * (rng.uniform(size=N) < 0.7)
    return X, y.astype(float), rng.normal(size=D) / D, rng.normal(size=D) / D, np.float64(0.4)


def by_hand(X, y, w, u, log_r):
    N, r = len(y), np.exp(log_r)
    eta, gate, positive = X @ w, X @ u, y > 0
    mu = np.exp(eta)
    log_total = np.log(r + mu)
    zero = r * (log_r - log_total)
    count = gammaln(y + r) - gammaln(r) - gammaln(y + 1) + zero + y * (eta - log_total)
    either = np.logaddexp(gate, zero)
    L = -(np.where(positive, count, either) - np.logaddexp(0, gate)).mean()
    chance = np.exp(zero - either)
    deta = np.where(positive, r * (y - mu), -chance * r * mu) / (r + mu)
    dgate = np.where(positive, 0, 1 - chance) - 1 / (1 + np.exp(-gate))
    dzero = log_r - log_total + 1 - r / (r + mu)
    dr = np.where(positive, digamma(y + r) - digamma(r) + dzero - y / (r + mu), chance * dzero).sum()
    return L, (X.T @ deta / -N, X.T @ dgate / -N, dr * r / -N)


def formula(xp, X, y, w, u, log_r):
    r, eta, gate = xp.exp(log_r), X @ w, X @ u
    log_total = xp.log(r + xp.exp(eta))
    zero = r * (log_r - log_total)
    count = xp.gammaln(y + r) - xp.gammaln(r) - xp.gammaln(y + 1) + zero + y * (eta - log_total)
    return -xp.mean(xp.where(y > 0, count, xp.logaddexp(gate, zero)) - xp.softplus(gate))


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
