"""An epidemic in many regions, day by day (SIR), fitted to counts of new infections."""

import numpy as np

EXPR = """
input counts: [T, N]           # of new infections, by day and region
input population: [N] positive
input infected: [N] positive   # on the first day
param log_beta: [N]            # how fast it spreads
param log_gamma: []            # how fast the infected recover

def day((S, I, before)):
    new = exp(log_beta) * S * I / population
    return S - new, I + new - exp(log_gamma) * I, new

S, I, new = scan(day, (population - infected, infected, zeros(N)), T)
L = mean(new - counts * log(new))
"""
SIZES = {"tiny": dict(T=5, N=3), "medium": dict(T=100, N=50), "large": dict(T=365, N=3_000)}


def inputs(rng, T, N):
    population = rng.uniform(1e4, 1e6, size=N)
    return rng.poisson(50, size=(T, N)).astype(float), population, population / 1e3, np.log(rng.uniform(0.1, 0.4, size=N)), np.log(0.1)


def by_hand(counts, population, infected, log_beta, log_gamma):
    beta, gamma, S, sick, kept = np.exp(log_beta) / population, np.exp(log_gamma), population - infected, infected, []
    for _ in counts:
        new = beta * S * sick
        kept.append((S, sick, new))
        S, sick = S - new, sick + new - gamma * sick
    new = np.array([each for _, _, each in kept])
    L = (new - counts * np.log(new)).mean()
    direct = (1 - counts / new) / counts.size
    dS, dI, dlog_beta, dgamma = np.zeros_like(S), np.zeros_like(sick), np.zeros_like(beta), 0.0
    for d, (S, sick, new) in zip(direct[::-1], reversed(kept), strict=True):
        d = d - dS + dI
        dgamma -= dI @ sick
        dlog_beta += d * new
        dS, dI = dS + d * beta * sick, dI * (1 - gamma) + d * beta * S
    return L, (dlog_beta, gamma * dgamma)


def formula(xp, counts, population, infected, log_beta, log_gamma):
    def day(carry, _):
        S, sick = carry
        new = xp.exp(log_beta) * S * sick / population
        return (S - new, sick + new - xp.exp(log_gamma) * sick), new

    _, new = xp.scan(day, (population - infected, infected), counts)
    return xp.mean(new - counts * xp.log(new))


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
