"""The gradient check: a compiled program's value and gradients against central differences, each user's rule on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsl import syntax
from dsl.api import module_of
from dsl.diagnostics import Code, DslError, Source, error, nearest
from dsl.files import finder, read
from dsl.nodes import Program
from dsl.parse import parse
from dsl.pipeline import Compiled, Options, compile_source
from dsl.sample import dimensions, free_shapes, sample, sizes_of

TOLERANCE = 1e-6
MOST = 40
STEPS = (1e-3, 1e-4, 1e-5, 1e-6)
PLOTTED = tuple(10 ** (-n / 3) for n in range(1, 37))
RULE_SHAPES = ((4,), (4, 4), ())
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """One comparison: the largest absolute and relative difference, and whether they are small enough.

    ``curve`` has, for a gradient, steps of a plain central difference along one direction, and how far each was from the derivative; ``rounding`` is what
    the digits of a large value leave uncertain in these differences.
    """

    name: str
    shape: tuple[int, ...]
    absolute: float
    relative: float
    curve: tuple[tuple[float, float], ...] = ()
    rounding: float = 0.0

    @property
    def ok(self) -> bool:
        return self.close or bool(self.absolute <= self.rounding)

    @property
    def close(self) -> bool:
        """Whether the difference is small whatever the value."""
        return bool(self.relative <= TOLERANCE or self.absolute <= TOLERANCE * 1e-3)

    @property
    def verdict(self) -> str:
        """``ok`` or ``FAIL``, or why differences tell little."""
        if not np.isfinite(self.absolute):
            return "FAIL, not finite where the other is, or of another shape"
        return "FAIL" if not self.ok else "ok" if self.close else "ok as far as the value's digits go: it is large"


@dataclass(frozen=True)
class CheckReport:
    """What a check found, with the sizes that it used."""

    name: str
    sizes: Mapping[str, int]
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        return all(row.ok for row in self.rows)


def check(path: str | Path, dims: Mapping[str, int] | None = None, seed: int = 0, root: Path | None = None, wrt: tuple[str, ...] = ()) -> CheckReport:
    """Check a file's program, and each rule in it. Raises DslError for a program with errors, and for one that cannot be checked."""
    path = Path(path)
    source, options = read(path), Options(wrt, finder(root or path.parent), format=False)
    statements = parse(source).statements
    kept = [each.span.text for each in statements if isinstance(each, (syntax.Def, syntax.Rule, syntax.Import, syntax.ConstDeclare))]
    rules: list[Row] = []
    for each in statements:
        if isinstance(each, syntax.Rule) and (compiled := _alone(each, kept, source.name, options)):
            _, rows = check_compiled(compiled, {}, seed)
            rules += [replace(row, name=f"rule {each.name.id}, d/d{row.name[5:]}") for row in rows if row.name.startswith("darg_")]
    if rules and not any(isinstance(each, (syntax.Assign, syntax.Declare)) for each in statements):
        return CheckReport(str(path), {}, tuple(rules))
    sizes, rows = check_compiled(compile_source(source, path.stem, options), dims or {}, seed)
    return CheckReport(str(path), sizes, tuple(rows + rules))


def _alone(rule: syntax.Rule, kept: list[str], file: str, options: Options) -> Compiled | None:
    """A program that does nothing but call a rule on arrays of its domain; of the shapes that a ``vjp`` rule takes, the first that compile."""
    stated = {line.argument for line in rule.lines if line.key in ("d", "vjp")}
    domains = {line.argument: line.span.text.partition(":")[2] for line in rule.lines if line.key == "domain"}
    names = [each.target.id for each in rule.params if isinstance(each.target, syntax.Name)]
    elementwise = any(line.key == "d" for line in rule.lines)
    for shapes in [[(12,)] * len(names)] if elementwise else product(RULE_SHAPES, repeat=len(names)):
        types = zip(names, shapes, strict=True)
        declared = [f"{'param' if name in stated else 'input'} arg_{name}: {list(shape)} {domains.get(name, '')}" for name, shape in types]
        call = f"arg_out = {rule.name.id}({', '.join(f'arg_{name}' for name in names)})"
        try:
            return compile_source(Source(file, "\n".join([*kept, *declared, call, ""])), "rule", replace(options, wrt=()))
        except DslError:
            if elementwise:
                raise
    return None


def check_compiled(compiled: Compiled, dims: Mapping[str, int], seed: int) -> tuple[dict[str, int], list[Row]]:
    """The sizes that served, and a row for each comparison. Raises DslError where none do, or where the value is not finite."""
    program, module = compiled.program, module_of(compiled.text, compiled.program.stem)
    known = dimensions(program)
    for name in dims:
        if name not in known:
            close = nearest(name, known)
            raise error(Code.E0601, f"there is no dimension `{name}`", help=f"did you mean `{close}`?" if close else f"the dimensions are {', '.join(known)}")
    refusal = ""
    for sizes, arrays in _samples(program, dims, seed):
        try:
            with np.errstate(all="ignore"):
                return sizes, _compare(module, program, arrays, np.random.default_rng(seed + 1))
        except ValueError as problem:
            refusal = refusal or str(problem)
    raise error(Code.E0601, f"no arguments were found that the program takes: {refusal}", help="choose sizes with --dims, and state the domains of arguments")


def _samples(program: Program, dims: Mapping[str, int], seed: int) -> Iterator[tuple[dict[str, int], Arrays]]:
    """Arguments to try: a slice or a split may need larger sizes, and a name that may have any shape one that broadcasts."""
    for scale in (1, 2, 4):
        sizes = sizes_of(program, dims, scale)
        for shape in free_shapes(program, sizes):
            yield sizes, sample(program, sizes, np.random.default_rng(seed), shape)


def _compare(module: ModuleType, program: Program, arrays: Arrays, rng: np.random.Generator) -> list[Row]:
    names = [name for name, _ in program.outputs]

    def named(outputs: Any) -> Arrays:
        return dict(zip(names, [outputs] if len(names) == 1 else list(outputs), strict=True))

    outputs, tape = module.forward(**arrays)
    values = named(outputs)
    for name, _ in program.cotangents:
        if not np.all(np.isfinite(values[name])):
            raise error(Code.E0601, f"`{name}` is not finite for the sampled arguments", help="state where they lie, as in `x: [N] positive`")
    weights = {name: rng.standard_normal(np.shape(values[name])) for name, _ in program.cotangents}
    gradients = module.backward(tape, **{seed.name: weights[name] for name, seed in program.cotangents})

    def scalar(changed: Arrays) -> float:
        found = named(module.value(**changed))
        return float(sum(np.sum(found[name] * weight) for name, weight in weights.items()))

    rows = [_row(name, values[name], other) for name, other in named(module.value(**arrays)).items() if np.size(other)]
    for name in program.wrt:
        rows.append(_gradient_row(name, getattr(gradients, name), arrays, scalar, _words(program, name), rng))
    if hasattr(module, "value_and_grad"):
        value, fused = module.value_and_grad(**arrays)
        plain = module.backward(tape)
        pairs = [(value, values[names[0]]), *((getattr(fused, name), getattr(plain, name)) for name in program.wrt)]
        rows.append(max((_row("value_and_grad", a, b) for a, b in pairs), key=lambda row: row.relative))
    return rows


def _words(program: Program, name: str) -> tuple[str, ...]:
    return next(each.words for each in program.arguments if each.node.name == name)


def _row(name: str, found: Any, expected: Any) -> Row:
    a, b = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if a.shape != b.shape or not np.all(np.isfinite(a) == np.isfinite(b)):
        return Row(name, a.shape, float("inf"), float("inf"))
    finite = np.isfinite(a)
    absolute = float(np.max(np.abs(a[finite] - b[finite]), initial=0.0))
    return Row(name, a.shape, absolute, absolute / max(float(np.max(np.abs(b[finite]), initial=0.0)), 1e-3))


def _gradient_row(name: str, gradient: Any, arrays: Arrays, scalar: Callable[[Arrays], float], words: tuple[str, ...], rng: np.random.Generator) -> Row:
    """The derivative along single entries; along pairs of entries where the argument is symmetric."""
    x = arrays[name]

    def along(direction: NDArray[Any]) -> Callable[[float], float]:
        return lambda step: scalar({**arrays, name: x + step * direction})

    if np.shape(gradient) != x.shape:
        return Row(f"d{name}", np.shape(gradient), float("inf"), float("inf"))
    found, expected = [], []
    # what a few roundings of the value make of a difference by a step of 1
    uncertain = 32 * float(np.finfo(np.float64).eps) * abs(scalar(arrays))
    rounding = uncertain / STEPS[0]
    entries = list(np.ndindex(x.shape))
    if len(entries) > MOST:
        entries = [entries[i] for i in sorted(rng.choice(len(entries), MOST, replace=False))]
    mixed = np.zeros(x.shape)
    for entry in entries:
        direction = np.zeros(x.shape)
        direction[entry] = 1.0
        if "triangular" in words and entry[-1] > entry[-2]:
            continue
        if ("spd" in words or "symmetric" in words) and entry[-1] != entry[-2]:
            direction[(*entry[:-2], entry[-1], entry[-2])] = 1.0
        found.append(float(np.sum(gradient * direction)))
        expected.append(_slope(along(direction), max(1.0, float(np.abs(x[entry]))), uncertain))
        # all of them at once, each the way in which it makes the derivative larger
        mixed += direction if expected[-1] >= 0 else -direction
    slope = float(np.sum(gradient * mixed))
    return replace(_row(f"d{name}", found, expected), shape=x.shape, curve=_curve(along(mixed), slope), rounding=rounding)


def _curve(f: Callable[[float], float], slope: float) -> tuple[tuple[float, float], ...]:
    """The relative error of central differences by their steps, where they are finite."""
    errors = ((step, abs((f(step) - f(-step)) / (2 * step) - slope) / max(abs(slope), 1e-3)) for step in PLOTTED)
    return tuple((step, error) for step, error in errors if np.isfinite(error))


def _slope(f: Callable[[float], float], size: float, uncertain: float) -> float:
    """A central difference, extrapolated once (Richardson): the error is of fourth order in the step.

    Where two steps disagree, a kink or the end of the domain is near, or the function bends much: shorter ones are tried, unless the disagreement is
    no more than what is ``uncertain`` of the value makes it.
    """
    best, least = float("nan"), float("inf")
    for h in (step * size for step in STEPS):
        wide, narrow = ((f(step) - f(-step)) / (2 * step) for step in (h, h / 2))
        gap = abs(narrow - wide)
        if gap < least:
            best, least = (4 * narrow - wide) / 3, gap
        if gap <= max(TOLERANCE * abs(narrow), uncertain / h):
            break
    return best
