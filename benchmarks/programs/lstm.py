"""A long short-term memory that reads a batch of sequences and is to end at a target."""

import numpy as np

EXPR = """
input X: [T, B, D]
input target: [B, H]
param Wx: [D, 4 * H]           # the gates' weights side by side: write, forget, expose, candidate
param Wh: [H, 4 * H]
param b: [4 * H]

def cell((h, memory), x):
    gates = x @ Wx + h @ Wh + b
    write, forget, expose = split(sigmoid(gates[:, :3 * H]), 3, axis=-1)
    candidate = tanh(gates[:, 3 * H:])
    kept = forget * memory + write * candidate
    return expose * tanh(kept), kept

h, memory = fold(cell, (zeros((B, H)), zeros((B, H))), X)
L = mean((h - target) ** 2)
"""
SIZES = {"tiny": dict(T=4, B=2, D=3, H=3), "medium": dict(T=50, B=16, D=32, H=32), "large": dict(T=100, B=64, D=64, H=128)}


def inputs(rng, T, B, D, H):
    weights = rng.normal(size=(D, 4 * H)) / np.sqrt(D), rng.normal(size=(H, 4 * H)) / np.sqrt(H), rng.normal(size=4 * H) / 10
    return rng.normal(size=(T, B, D)), rng.normal(size=(B, H)), *weights


def by_hand(X, target, Wx, Wh, b):
    (T, B, _), H = X.shape, len(Wh)
    h, c = np.zeros((2, T + 1, B, H), X.dtype)
    gates = np.empty((T, B, 4 * H), X.dtype)
    for t in range(T):
        z = X[t] @ Wx + h[t] @ Wh + b
        gates[t, :, : 3 * H] = 1 / (1 + np.exp(-z[:, : 3 * H]))
        gates[t, :, 3 * H :] = np.tanh(z[:, 3 * H :])
        write, forget, expose, candidate = np.split(gates[t], 4, axis=1)
        c[t + 1] = forget * c[t] + write * candidate
        h[t + 1] = expose * np.tanh(c[t + 1])
    error = h[T] - target
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dh, dc = 2 / error.size * error, np.zeros_like(error)
    for t in reversed(range(T)):
        write, forget, expose, candidate = np.split(gates[t], 4, axis=1)
        shown = np.tanh(c[t + 1])
        dc = dc + dh * expose * (1 - shown**2)
        dwrite, dforget, dexpose = dc * candidate * write * (1 - write), dc * c[t] * forget * (1 - forget), dh * shown * expose * (1 - expose)
        dz = np.concatenate([dwrite, dforget, dexpose, dc * write * (1 - candidate**2)], axis=1)
        dWx += X[t].T @ dz
        dWh += h[t].T @ dz
        db += dz.sum(axis=0)
        dh, dc = dz @ Wh.T, dc * forget
    return (error**2).mean(), (dWx, dWh, db)


def formula(xp, X, target, Wx, Wh, b):
    H = len(Wh)

    def cell(carry, x):
        h, memory = carry
        z = x @ Wx + h @ Wh + b
        gates, candidate = xp.sigmoid(z[:, : 3 * H]), xp.tanh(z[:, 3 * H :])
        kept = gates[:, H : 2 * H] * memory + gates[:, :H] * candidate
        return (gates[:, 2 * H :] * xp.tanh(kept), kept), None

    start = xp.zeros((X.shape[1], H), dtype=X.dtype)
    (h, _), _ = xp.scan(cell, (start, start), X)
    return xp.mean((h - target) ** 2)
