"""The functions of the language that are not written in the language itself, collected: each stands beside the operation it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from itertools import chain

from dsl.nodes import Node
from dsl.ops import (
    along,
    broadcasting,
    cholesky,
    contraction,
    diagonals,
    elementwise,
    exactness,
    factorisations,
    indexing,
    linalg,
    linalg_ops,
    loops,
    making,
    moving,
    prods,
    products,
    reduction,
    shaping,
    signal,
    signal_ops,
)
from dsl.ops.elementwise import Elementwise, Stanza, elementwise_ops, ew
from dsl.ops.shaping import transpose
from dsl.ops.spec import REQUIRED, Function, Op, Param

FUNCTIONS = (
    *elementwise.FUNCTIONS,
    *broadcasting.FUNCTIONS,
    *making.FUNCTIONS,
    *moving.FUNCTIONS,
    *indexing.FUNCTIONS,
    *diagonals.FUNCTIONS,
    *contraction.FUNCTIONS,
    *reduction.FUNCTIONS,
    *along.FUNCTIONS,
    *shaping.FUNCTIONS,
    *products.FUNCTIONS,
    *linalg.FUNCTIONS,
    *signal.FUNCTIONS,
)
MODULES = (
    elementwise,
    broadcasting,
    making,
    moving,
    indexing,
    diagonals,
    exactness,
    contraction,
    prods,
    along,
    reduction,
    shaping,
    linalg_ops,
    cholesky,
    loops,
    factorisations,
    signal_ops,
)
# how the arguments of a rule may be shaped: alike, along fewer axes, along axes of size 1, without axes
PATTERNS = {
    1: ("3, 4", "1", ""),
    2: ("3, 4 | 3, 4", "3, 4 | 4", "3, 1 | 4", "| 3", "2 | ", "1 | 3"),
    3: ("3, 4 | 3, 4 | 3, 4", "3, 4 | 4 | 3, 1", "4 | 3, 1 |", "| 3 | 2, 1", "3 | | "),
}


def _elementwise(name: str) -> Callable[..., Node]:
    return lambda *args: ew(name, *args)


def of_rule(rule: Elementwise) -> list[Function]:
    """A rule as a function, under each of its names. NumPy's and SciPy's take their arguments by position, JAX's activations by name too."""
    stanza = rule.stanza
    family = stanza.lines.get("family", "elementwise")
    how = "either" if family == "activations" else "positional"
    params = tuple(Param(each, REQUIRED, how=how) for each in stanza.params)
    doc, derivative = stanza.lines.get("doc", ""), "; ".join(stanza.partials.values())
    names = (stanza.name, *stanza.lines.get("also", "").split())
    return [Function(name, params, _elementwise(stanza.name), family, doc, derivative, _cases(stanza, name)) for name in names]


def _cases(stanza: Stanza, name: str) -> tuple[str, ...]:
    """A rule's tests: every pattern of shapes, of floats and of integers, and a number beside an array."""
    call = f"{name}({', '.join(stanza.params)})"
    # what is no float has no derivative: it is tested beside something that has one
    beside = call if stanza.partials else f"factor * {call}"
    factor = [] if stanza.partials else ["factor: []"]
    floats, ints = ([_declared(stanza, shapes, kind) for shapes in PATTERNS[len(stanza.params)]] for kind in ("", "int"))
    found = [f"{beside} | {'; '.join([*each, *factor])}" for each in floats]
    if all("in " not in words and words != "unit" for words in stanza.domains.values()):
        found += [f"factor * {call} | {'; '.join([*each, 'factor: []'])}" for each in ints[:2]]
    if len(stanza.params) == 2 and stanza.partials:
        x, y = _declared(stanza, "3 | 3", "")
        found += [f"{name}({stanza.params[0]}, 2) | {x}", f"{name}(2, {stanza.params[1]}) | {y}"]
    return tuple(found)


def _declared(stanza: Stanza, shapes: str, kind: str) -> list[str]:
    """Each parameter's type, within its domain."""
    declared: list[str] = []
    for i, (name, shape) in enumerate(zip(stanza.params, shapes.split("|"), strict=True)):
        chooses = stanza.kind == "select" and i == 0
        domain = " " + stanza.domains[name] if name in stanza.domains else ""
        if kind:
            domain = " in -1:2" if stanza.kind == "bool" else " in 1:5"
        declared.append(f"{name}: bool[{shape.strip()}]" if chooses else f"{name}: {kind}[{shape.strip()}]{domain}")
    return declared


# what functions are called elsewhere, where the name most like it is another's
ELSEWHERE = {
    "absolute": "abs", "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atanh": "arctanh",
    "bce": "binary_cross_entropy", "bmm": "matmul", "cat": "concatenate", "cond": "where", "ifelse": "where", "inverse": "inv", "lgamma": "gammaln",
    "ln": "log", "loggamma": "gammaln", "logistic": "sigmoid", "lse": "logsumexp", "mm": "matmul", "mul": "multiply", "neg": "negative",
    "nll_loss": "cross_entropy", "permute": "transpose", "psi": "digamma", "reduce_max": "max", "reduce_mean": "mean", "reduce_sum": "sum",
    "select": "where", "sigm": "sigmoid", "sub": "subtract", "tr": "trace",
}


@cache
def functions() -> Mapping[str, Function]:
    """Every built-in function by name, the aliases too."""
    return {each.name: each for each in (*chain.from_iterable(map(of_rule, elementwise_ops().values())), *FUNCTIONS)}


@cache
def operations() -> Mapping[str, Op]:
    """Every primitive by name: what a graph, and so a derivative, is made of."""
    return {**elementwise_ops(), **{op.name: op for module in MODULES for op in module.OPS}}


__all__ = ["ELSEWHERE", "functions", "operations", "transpose"]
