"""A hidden Markov model with Gaussian emissions: the likelihood by the forward algorithm, in logarithms."""

import numpy as np

EXPR = """
input y: [T]
param transitions: [K, K]
param start, mu, log_sigma: [K]

A = log_softmax(transitions)
emitted = -((y[:, None] - mu) / exp(log_sigma)) ** 2 / 2 - log_sigma

def step(a, e) = logsumexp(a[:, None] + A, axis=0) + e

L = -logsumexp(fold(step, log_softmax(start) + emitted[0], emitted[1:])) / T
"""
SIZES = {"tiny": dict(T=5, K=2), "medium": dict(T=200, K=6), "large": dict(T=2_000, K=40)}


def inputs(rng, T, K):
    return rng.normal(size=T), rng.normal(size=(K, K)), rng.normal(size=K), rng.normal(size=K), 0.1 * rng.normal(size=K)


def _logsumexp(x):
    most = x.max(axis=0)
    return most + np.log(np.exp(x - most).sum(axis=0))


def by_hand(y, transitions, start, mu, log_sigma):
    A = transitions - _logsumexp(transitions.T)[:, None]
    first = start - _logsumexp(start)
    scale = np.exp(log_sigma)
    z = (y[:, None] - mu) / scale
    emitted = -(z**2) / 2 - log_sigma
    alphas = [first + emitted[0]]
    for e in emitted[1:]:
        alphas.append(_logsumexp(alphas[-1][:, None] + A) + e)
    L = -_logsumexp(alphas[-1])
    da = -np.exp(alphas[-1] + L) / len(y)
    demitted, dA = np.empty_like(emitted), np.zeros_like(A)
    for t in range(len(y) - 1, 0, -1):
        demitted[t] = da
        shares = da * np.exp(alphas[t - 1][:, None] + A - (alphas[t] - emitted[t]))
        dA += shares
        da = shares.sum(axis=1)
    demitted[0] = da
    dtransitions = dA - np.exp(A) * dA.sum(axis=1, keepdims=True)
    dstart = da - np.exp(first) * da.sum()
    dz = demitted * z
    return L / len(y), (dtransitions, dstart, dz.sum(axis=0) / scale, (dz * z - demitted).sum(axis=0))


def formula(xp, y, transitions, start, mu, log_sigma):
    A = xp.log_softmax(transitions)
    emitted = -(((y[:, None] - mu) / xp.exp(log_sigma)) ** 2) / 2 - log_sigma
    last, _ = xp.scan(lambda a, e: (xp.logsumexp((a[:, None] + A).T) + e, a), xp.log_softmax(start) + emitted[0], emitted[1:])
    return -xp.logsumexp(last) / y.shape[0]


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
