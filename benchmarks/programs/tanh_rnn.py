"""A tanh recurrent network that reads a batch of sequences and predicts a target at every step."""

import numpy as np

EXPR = """
input X: [T, B, D]
input target: [T, B, K]
param Wx: [D, H]
param Wh: [H, H]
param b: [H]
param Wo: [H, K]

def step(h, x) = tanh(x @ Wx + h @ Wh + b)

hidden = scan(step, zeros((B, H)), X)
L = mean((hidden @ Wo - target) ** 2)
"""
SIZES = {"tiny": dict(T=4, B=2, D=3, H=3, K=2), "medium": dict(T=100, B=16, D=32, H=64, K=8), "large": dict(T=200, B=64, D=64, H=128, K=16)}


def inputs(rng, T, B, D, H, K):
    weights = rng.normal(size=(D, H)) / np.sqrt(D), rng.normal(size=(H, H)) / np.sqrt(H), rng.normal(size=H) / 10, rng.normal(size=(H, K)) / np.sqrt(H)
    return rng.normal(size=(T, B, D)), rng.normal(size=(T, B, K)), *weights


def by_hand(X, target, Wx, Wh, b, Wo):
    T, B, _ = X.shape
    h = np.zeros((T + 1, B, len(b)), X.dtype)
    for t in range(T):
        h[t + 1] = np.tanh(X[t] @ Wx + h[t] @ Wh + b)
    error = h[1:] @ Wo - target
    dout = 2 / error.size * error
    dWx, dWh, db, dWo = (np.zeros_like(each) for each in (Wx, Wh, b, Wo))
    dh = np.zeros_like(h[0])
    for t in reversed(range(T)):
        dWo += h[t + 1].T @ dout[t]
        dz = (dh + dout[t] @ Wo.T) * (1 - h[t + 1] ** 2)
        dWx += X[t].T @ dz
        dWh += h[t].T @ dz
        db += dz.sum(axis=0)
        dh = dz @ Wh.T
    return (error**2).mean(), (dWx, dWh, db, dWo)


def formula(xp, X, target, Wx, Wh, b, Wo):
    def step(h, x):
        h = xp.tanh(x @ Wx + h @ Wh + b)
        return h, h

    hidden = xp.scan(step, xp.zeros((X.shape[1], len(b)), dtype=X.dtype), X)[1]
    return xp.mean((hidden @ Wo - target) ** 2)
