"""The libraries that gradc is compared with, each under NumPy's names, and how each takes a gradient.

A program's ``formula(xp, ...)`` is written once, over a ``Dialect``: the library's own functions, and the few that go by another name or in another
place in each library. A peer is imported when it first takes part.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

Run = Callable[[], Any]


class Dialect:
    """A library's functions, with these put over them."""

    def __init__(self, library: ModuleType, **functions: Callable[..., Any]) -> None:
        self._library = library
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)


def looped(stack: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    """``scan(step, carry, xs)`` as Python's own loop; JAX has one."""

    def scan(step: Callable[..., Any], carry: Any, xs: Any) -> Any:
        outputs = []
        for x in xs:
            carry, output = step(carry, x)
            outputs.append(output)
        return carry, None if outputs[0] is None else stack(outputs)

    return scan


# autograd ------------------------------------------------------------------------------------------------------------------------------------


def autograd_dialect() -> Dialect:
    import autograd
    import autograd.numpy as anp
    from autograd.scipy.linalg import solve_triangular
    from autograd.scipy.special import erf, gammaln, logsumexp
    from numpy.lib.stride_tricks import sliding_window_view

    def log_softmax(x: Any) -> Any:
        return x - logsumexp(x, axis=-1, keepdims=True)

    def conv2d(images: Any, filters: Any) -> Any:  # one channel in, of images that are not differentiated
        windows = sliding_window_view(images[:, 0], filters.shape[2:], axis=(1, 2))
        return anp.moveaxis(anp.tensordot(windows, filters[:, 0], ((3, 4), (1, 2))), -1, 1)

    return Dialect(
        anp,
        sigmoid=lambda x: 1 / (1 + anp.exp(-x)),
        softplus=lambda x: anp.logaddexp(0.0 * x, x),
        relu=lambda x: anp.maximum(x, 0),
        softmax=lambda x: anp.exp(log_softmax(x)),
        log_softmax=log_softmax,
        logsumexp=lambda x: logsumexp(x, axis=-1),
        erf=erf,
        gammaln=gammaln,
        conv2d=conv2d,
        solve_triangular=lambda A, b: solve_triangular(A, b, lower=True),
        scan=looped(anp.array),
        hessian=autograd.hessian,
        jacobian=autograd.jacobian,
    )


def autograd_run(case: Any) -> Run:
    import autograd

    xp, formula, arguments, places = autograd_dialect(), case.program.formula, case.arguments, case.differentiated
    if not places:
        return lambda: formula(xp, *arguments)
    run = autograd.value_and_grad(lambda *given: formula(xp, *given), places)
    return lambda: run(*arguments)


# PyTorch -------------------------------------------------------------------------------------------------------------------------------------


def torch_dialect() -> Dialect:
    import torch
    from torch.func import hessian, jacrev
    from torch.nn import functional

    return Dialect(
        torch,
        sigmoid=torch.sigmoid,
        softplus=functional.softplus,
        relu=torch.relu,
        softmax=lambda x: torch.softmax(x, -1),
        log_softmax=lambda x: torch.log_softmax(x, -1),
        logsumexp=lambda x: torch.logsumexp(x, -1),
        gammaln=torch.lgamma,
        conv2d=functional.conv2d,
        solve_triangular=lambda A, b: torch.linalg.solve_triangular(A, b[:, None], upper=False)[:, 0],
        scan=looped(torch.stack),
        hessian=hessian,
        jacobian=jacrev,
    )


def torch_run(case: Any, compile: bool = False) -> Run:
    """PyTorch, from NumPy arrays to NumPy arrays, which share memory with its own."""
    import torch

    xp, program, places = torch_dialect(), case.program, case.differentiated

    def formula(*given: Any) -> Any:
        return program.formula(xp, *given)

    if compile:
        warnings.simplefilter("ignore", FutureWarning)  # it warns of its own parts
        torch.compiler.reset()
        formula = torch.compile(formula)

    def run() -> Any:
        given = [torch.from_numpy(each) for each in case.arguments]
        if not places:
            return formula(*given).numpy()
        wanted = [given[place].requires_grad_() for place in places]
        value = formula(*given)
        return value.detach().numpy(), [each.numpy() for each in torch.autograd.grad(value, wanted)]

    return run


def torch_compile_run(case: Any) -> Run:
    return torch_run(case, compile=True)


# JAX -----------------------------------------------------------------------------------------------------------------------------------------


def jax_dialect() -> Dialect:
    import jax
    import jax.numpy as jnp
    from jax.scipy import special
    from jax.scipy.linalg import solve_triangular

    return Dialect(
        jnp,
        sigmoid=jax.nn.sigmoid,
        softplus=jax.nn.softplus,
        relu=jax.nn.relu,
        softmax=jax.nn.softmax,
        log_softmax=jax.nn.log_softmax,
        logsumexp=lambda x: special.logsumexp(x, axis=-1),
        erf=special.erf,
        gammaln=special.gammaln,
        conv2d=lambda images, filters: jax.lax.conv_general_dilated(images, filters, (1, 1), "VALID"),
        solve_triangular=lambda A, b: solve_triangular(A, b, lower=True),
        scan=jax.lax.scan,
        hessian=jax.hessian,
        jacobian=jax.jacrev,
    )


@cache
def jax_function(formula: Callable[..., Any], places: tuple[int, ...]) -> Callable[..., Any]:
    """A program compiled by jax.jit, at its first call for each size."""
    import jax

    jax.config.update("jax_enable_x64", True)
    xp = jax_dialect()

    def value(*given: Any) -> Any:
        return formula(xp, *given)

    return jax.jit(jax.value_and_grad(value, places) if places else value)


def jax_run(case: Any) -> Run:
    """jax.jit from NumPy arrays to NumPy arrays."""
    import jax

    run, arguments = jax_function(case.program.formula, case.differentiated), case.arguments
    return lambda: jax.tree.map(np.asarray, run(*arguments))


def jax_resident_run(case: Any) -> Run:
    """jax.jit from its own arrays to its own arrays."""
    import jax

    run = jax_function(case.program.formula, case.differentiated)
    arguments = [jax.device_put(each) for each in case.arguments]
    return lambda: jax.block_until_ready(run(*arguments))
