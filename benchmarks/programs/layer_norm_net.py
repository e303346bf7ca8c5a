"""A network with one hidden layer that is normalised row by row."""

import numpy as np

EXPR = """
input X: [N, D]
input y: [N, K]
param W1: [D, H]
param gain, bias: [H]
param W2: [H, K]

hidden = relu(layer_norm(X @ W1, gain, bias))
L = mean((hidden @ W2 - y) ** 2)
"""
SIZES = {"tiny": dict(N=4, D=3, H=5, K=2), "medium": dict(N=1024, D=128, H=128, K=10), "large": dict(N=50_000, D=64, H=128, K=10)}


def inputs(rng, N, D, H, K):
    X, y = rng.normal(size=(N, D)), rng.normal(size=(N, K))
    return X, y, rng.normal(size=(D, H)) / np.sqrt(D), rng.uniform(0.5, 1.5, size=H), rng.normal(size=H) / 10, rng.normal(size=(H, K)) / np.sqrt(H)


def by_hand(X, y, W1, gain, bias, W2):
    A = X @ W1
    A -= A.mean(axis=1, keepdims=True)
    inverse_sd = 1 / np.sqrt((A**2).mean(axis=1, keepdims=True) + 1e-5)
    Z = A * inverse_sd
    B = Z * gain + bias
    H = np.maximum(B, 0)
    error = H @ W2 - y
    dout = 2 / error.size * error
    dB = (dout @ W2.T) * (B > 0)
    dZ = dB * gain
    dA = inverse_sd * (dZ - dZ.mean(axis=1, keepdims=True) - Z * (dZ * Z).mean(axis=1, keepdims=True))
    return (error**2).mean(), (X.T @ dA, (dB * Z).sum(axis=0), dB.sum(axis=0), H.T @ dout)


def formula(xp, X, y, W1, gain, bias, W2):
    A = X @ W1
    centred = A - xp.mean(A, axis=1, keepdims=True)
    Z = centred / xp.sqrt(xp.mean(centred**2, axis=1, keepdims=True) + 1e-5)
    return xp.mean((xp.relu(Z * gain + bias) @ W2 - y) ** 2)
