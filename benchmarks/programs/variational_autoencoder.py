"""A variational autoencoder of images with values from 0 to 1, the noise given."""

import numpy as np

EXPR = """
input X: [N, D]
input noise: [N, Z]
param E: [D, H]                # the encoder, of the mean and the logarithm of the variance of a code
param M, V: [H, Z]
param U: [Z, H]                # the decoder
param R: [H, D]

hidden = relu(X @ E)
mu = hidden @ M
log_var = hidden @ V
logits = relu((mu + exp(log_var / 2) * noise) @ U) @ R
L = (sum(sigmoid_binary_cross_entropy(logits, X)) - sum(1 + log_var - mu ** 2 - exp(log_var)) / 2) / N
"""
SIZES = {
    "tiny": dict(N=4, D=6, H=5, Z=2),
    "medium": dict(N=256, D=784, H=128, Z=16),
    "large": dict(N=10_000, D=784, H=128, Z=16),
}


def inputs(rng, N, D, H, Z):
    weights = (rng.normal(size=(m, n)) / m**0.5 for m, n in ((D, H), (H, Z), (H, Z), (Z, H), (H, D)))
    return rng.uniform(size=(N, D)), rng.normal(size=(N, Z)), *weights


def by_hand(X, noise, E, M, V, U, R):
    N = len(X)
    hidden = np.maximum(X @ E, 0)
    mu, log_var = hidden @ M, hidden @ V
    sd = np.exp(log_var / 2)
    code = mu + sd * noise
    decoded = np.maximum(code @ U, 0)
    logits = decoded @ R
    entropy = np.maximum(logits, 0) - logits * X + np.log1p(np.exp(-np.abs(logits)))
    L = (entropy.sum() - (1 + log_var - mu**2 - sd**2).sum() / 2) / N
    dlogits = (1 / (1 + np.exp(-logits)) - X) / N
    dpre = (dlogits @ R.T) * (decoded > 0)
    dcode = dpre @ U.T
    dmu = dcode + mu / N
    dlog_var = dcode * noise * sd / 2 - (1 - sd**2) / 2 / N
    dhidden = (dmu @ M.T + dlog_var @ V.T) * (hidden > 0)
    return L, (X.T @ dhidden, hidden.T @ dmu, hidden.T @ dlog_var, code.T @ dpre, decoded.T @ dlogits)


def formula(xp, X, noise, E, M, V, U, R):
    hidden = xp.relu(X @ E)
    mu, log_var = hidden @ M, hidden @ V
    logits = xp.relu((mu + xp.exp(log_var / 2) * noise) @ U) @ R
    entropy = xp.softplus(logits) - logits * X
    return (xp.sum(entropy) - xp.sum(1 + log_var - mu**2 - xp.exp(log_var)) / 2) / len(X)


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
