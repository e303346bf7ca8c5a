"""A table of counts, negative binomial, whose logarithms of means have low rank."""

import numpy as np
from scipy.special import digamma, gammaln

EXPR = """
input C: [N, M] nonnegative
param U: [N, K]
param V: [M, K]
param log_r: [M]

r = exp(log_r)
mu = exp(U @ V.T)
ll = gammaln(C + r) - gammaln(r) + r * log(r / (r + mu)) + C * log(mu / (r + mu))
L = -mean(ll) + 0.01 * (sum(U ** 2) + sum(V ** 2))
"""
SIZES = {"tiny": dict(N=4, M=5, K=2), "medium": dict(N=100, M=80, K=5), "large": dict(N=1000, M=800, K=10)}


def inputs(rng, N, M, K):
    return rng.poisson(3, size=(N, M)).astype(float), rng.normal(size=(N, K)) * 0.3, rng.normal(size=(M, K)) * 0.3, rng.normal(size=M) * 0.3


def by_hand(C, U, V, log_r):
    r, eta = np.exp(log_r), U @ V.T
    mu = np.exp(eta)
    log_total = np.log(r + mu)
    ll = gammaln(C + r) - gammaln(r) + r * (log_r - log_total) + C * (eta - log_total)
    ratio = (C + r) / (r + mu)
    deta = (mu * ratio - C) / C.size
    dr = (digamma(C + r) - digamma(r) + log_r - log_total + 1 - ratio).sum(axis=0) / -C.size
    return -ll.mean() + 0.01 * ((U**2).sum() + (V**2).sum()), (deta @ V + 0.02 * U, deta.T @ U + 0.02 * V, dr * r)


def formula(xp, C, U, V, log_r):
    r = xp.exp(log_r)
    mu = xp.exp(U @ V.T)
    ll = xp.gammaln(C + r) - xp.gammaln(r) + r * xp.log(r / (r + mu)) + C * xp.log(mu / (r + mu))
    return -xp.mean(ll) + 0.01 * (xp.sum(U**2) + xp.sum(V**2))
