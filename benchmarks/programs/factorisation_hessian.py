"""The Hessian of a matrix factorisation with respect to one factor, which is made of equal blocks."""

import numpy as np

EXPR = """
input T: [N, M]
input U: [N, K]
input V: [M, K]

H = hessian(sum((T - U @ V.T) ** 2), U)
"""
SIZES = {"tiny": dict(N=4, M=3, K=2), "medium": dict(N=50, M=40, K=5), "large": dict(N=100, M=100, K=5)}


def inputs(rng, N, M, K):
    return rng.normal(size=(N, M)), rng.normal(size=(N, K)), rng.normal(size=(M, K))


def by_hand(T, U, V):
    N, K = U.shape
    H = np.zeros((N, K, N, K), U.dtype)
    H[np.arange(N), :, np.arange(N), :] = 2 * (V.T @ V)
    return H


def formula(xp, T, U, V):
    return xp.hessian(lambda U: xp.sum((T - U @ V.T) ** 2))(U)
