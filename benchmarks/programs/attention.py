"""One head of self-attention, fitted to a target."""

import numpy as np

EXPR = """
input X: [T, D]
input target: [T, D]
param Wq, Wk, Wv: [D, D]

A = attention(X @ Wq, X @ Wk, X @ Wv)
L = mean((A - target) ** 2)
"""
SIZES = {"tiny": dict(T=4, D=3), "medium": dict(T=256, D=64), "large": dict(T=2048, D=64)}


def inputs(rng, T, D):
    return rng.normal(size=(T, D)), rng.normal(size=(T, D)), *(rng.normal(size=(D, D)) / np.sqrt(D) for _ in range(3))


def by_hand(X, target, Wq, Wk, Wv):
    scale = X.shape[1] ** -0.5
    Q, K, V = X @ Wq, X @ Wk, X @ Wv
    P = Q @ K.T * scale
    P -= P.max(axis=1, keepdims=True)
    np.exp(P, out=P)
    P /= P.sum(axis=1, keepdims=True)
    error = P @ V - target
    dA = 2 / error.size * error
    dP = dA @ V.T
    dS = P * (dP - (dP * P).sum(axis=1, keepdims=True)) * scale
    return (error**2).mean(), (X.T @ (dS @ K), X.T @ (dS.T @ Q), X.T @ (P.T @ dA))


def formula(xp, X, target, Wq, Wk, Wv):
    scores = (X @ Wq) @ (X @ Wk).T / X.shape[1] ** 0.5
    return xp.mean((xp.softmax(scores) @ (X @ Wv) - target) ** 2)
