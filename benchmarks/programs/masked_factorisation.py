"""The factorisation of a table of ratings of which only some are known."""

import numpy as np

EXPR = """
input R: [N, M]                # ratings, anything where unknown
input known: bool[N, M]
param U: [N, K]
param V: [M, K]
const lam = 0.1

error = where(known, R - U @ V.T, 0)
L = sum(error ** 2) + lam * (sum(U ** 2) + sum(V ** 2))
"""
SIZES = {"tiny": dict(N=5, M=4, K=2), "medium": dict(N=500, M=400, K=20), "large": dict(N=2000, M=1500, K=50)}


def inputs(rng, N, M, K):
    return rng.normal(size=(N, M)), rng.uniform(size=(N, M)) < 0.1, rng.normal(size=(N, K)) / np.sqrt(K), rng.normal(size=(M, K)) / np.sqrt(K)


def by_hand(R, known, U, V, lam=0.1):
    error = np.where(known, R - U @ V.T, 0)
    L = (error**2).sum() + lam * ((U**2).sum() + (V**2).sum())
    return L, (-2 * (error @ V) + 2 * lam * U, -2 * (error.T @ U) + 2 * lam * V)


def formula(xp, R, known, U, V, lam=0.1):
    error = xp.where(known, R - U @ V.T, 0)
    return xp.sum(error**2) + lam * (xp.sum(U**2) + xp.sum(V**2))
