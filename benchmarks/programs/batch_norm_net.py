"""A network with one hidden layer that is normalised over the batch: statistics that feed back."""

import numpy as np

from benchmarks.programs.layer_norm_net import SIZES, inputs

EXPR = """
input X: [N, D]
input y: [N, K]
param W1: [D, H]
param gain, bias: [H]
param W2: [H, K]

hidden = relu(batch_norm(X @ W1, gain, bias))
L = mean((hidden @ W2 - y) ** 2)
"""


def by_hand(X, y, W1, gain, bias, W2):
    A = X @ W1
    A -= A.mean(axis=0)
    inverse_sd = 1 / np.sqrt((A**2).mean(axis=0) + 1e-5)
    Z = A * inverse_sd
    B = Z * gain + bias
    H = np.maximum(B, 0)
    error = H @ W2 - y
    dout = 2 / error.size * error
    dB = (dout @ W2.T) * (B > 0)
    dgain, dbias = (dB * Z).sum(axis=0), dB.sum(axis=0)
    dA = gain * inverse_sd * (dB - dbias / len(X) - Z * (dgain / len(X)))
    return (error**2).mean(), (X.T @ dA, dgain, dbias, H.T @ dout)


def formula(xp, X, y, W1, gain, bias, W2):
    A = X @ W1
    centred = A - xp.mean(A, axis=0)
    Z = centred / xp.sqrt(xp.mean(centred**2, axis=0) + 1e-5)
    return xp.mean((xp.relu(Z * gain + bias) @ W2 - y) ** 2)


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
