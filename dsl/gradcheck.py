"""The gradient check: a compiled program's value and gradients against central differences, each user's rule on its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsl import syntax
from dsl.api import module_of
from dsl.diagnostics import Source
from dsl.files import finder, read
from dsl.nodes import Program
from dsl.parse import parse
from dsl.pipeline import Compiled, Options, compile_source
from dsl.sample import sample, sizes_of

TOLERANCE = 1e-6
MOST = 40
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """One comparison: the largest absolute and relative difference, and whether they are small enough."""

    name: str
    shape: tuple[int, ...]
    absolute: float
    relative: float

    @property
    def ok(self) -> bool:
        return bool(self.relative <= TOLERANCE or self.absolute <= TOLERANCE * 1e-3)


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
    """Check a file's program, and each rule in it. Raises DslError for a program with errors."""
    path = Path(path)
    source, options = read(path), Options(wrt, finder(root or path.parent), format=False)
    rules: list[Row] = []
    for rule, text in _rules(source):
        compiled = compile_source(Source(source.name, text), path.stem, options)
        _, rows = check_compiled(compiled, {}, seed)
        rules += [replace(row, name=f"rule {rule}, d/d{row.name[5:]}") for row in rows if row.name.startswith("darg_")]
    if rules and _only_definitions(source):
        return CheckReport(str(path), {}, tuple(rules))
    sizes, rows = check_compiled(compile_source(source, path.stem, options), dims or {}, seed)
    return CheckReport(str(path), sizes, tuple(rows + rules))


def _only_definitions(source: Source) -> bool:
    return not any(isinstance(each, (syntax.Assign, syntax.Declare)) for each in parse(source).statements)


def _rules(source: Source) -> list[tuple[str, str]]:
    """Each elementwise rule of a file with a program that does nothing but call it on arrays of its domain."""
    statements = parse(source).statements
    kept = [each.span.text for each in statements if isinstance(each, (syntax.Def, syntax.Rule, syntax.Import, syntax.ConstDeclare))]
    found: list[tuple[str, str]] = []
    for rule in statements:
        if not isinstance(rule, syntax.Rule) or not any(line.key == "d" for line in rule.lines):
            continue
        names = [each.target.id for each in rule.params if isinstance(each.target, syntax.Name)]
        domains = {line.argument: line.span.text.partition(":")[2] for line in rule.lines if line.key == "domain"}
        declared = [f"param arg_{name}: [12] {domains.get(name, '')}" for name in names]
        call = f"arg_out = {rule.name.id}({', '.join(f'arg_{name}' for name in names)})"
        found.append((rule.name.id, "\n".join([*kept, *declared, call, ""])))
    return found


def check_compiled(compiled: Compiled, dims: Mapping[str, int], seed: int) -> tuple[dict[str, int], list[Row]]:
    """The sizes that served, and a row for each comparison."""
    module = module_of(compiled.text, compiled.program.stem)
    scale = 1
    while True:
        sizes = sizes_of(compiled.program, dims, scale)
        arrays = sample(compiled.program, sizes, np.random.default_rng(seed))
        try:
            with np.errstate(all="ignore"):
                return sizes, _compare(module, compiled.program, arrays, np.random.default_rng(seed + 1))
        except ValueError:
            # a slice or a split may need larger sizes than the first ones
            if scale >= 4:
                raise
            scale *= 2


def _compare(module: ModuleType, program: Program, arrays: Arrays, rng: np.random.Generator) -> list[Row]:
    outputs, tape = module.forward(**arrays)
    single = len(program.outputs) == 1
    values = dict(zip([name for name, _ in program.outputs], [outputs] if single else list(outputs), strict=True))
    cotangents = {f"d{name}": rng.standard_normal(np.shape(values[name])) for name, _ in program.cotangents}
    gradients = module.backward(tape, **cotangents)

    def scalar(changed: Arrays) -> float:
        found = module.value(**changed)
        named = dict(zip(values, [found] if single else list(found), strict=True))
        return float(sum(np.sum(named[key[1:]] * weight) for key, weight in cotangents.items()))

    again = module.value(**arrays)
    rows = [_row(name, values[name], other) for name, other in zip(values, [again] if single else list(again), strict=True) if np.size(other)]
    for name in program.wrt:
        rows.append(_gradient_row(name, getattr(gradients, name), arrays, scalar, _words(program, name), rng))
    if hasattr(module, "value_and_grad"):
        value, fused = module.value_and_grad(**arrays)
        plain = module.backward(tape)
        pairs = [(value, values[program.outputs[0][0]]), *((getattr(fused, name), getattr(plain, name)) for name in program.wrt)]
        worst = max((_row("value_and_grad", a, b) for a, b in pairs), key=lambda row: row.relative)
        rows.append(worst)
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
    found, expected = [], []
    entries = list(np.ndindex(x.shape))
    if len(entries) > MOST:
        entries = [entries[i] for i in sorted(rng.choice(len(entries), MOST, replace=False))]
    for entry in entries:
        direction = np.zeros(x.shape)
        direction[entry] = 1.0
        if "triangular" in words and entry[-1] > entry[-2]:
            continue
        if ("spd" in words or "symmetric" in words) and entry[-1] != entry[-2]:
            direction[(*entry[:-2], entry[-1], entry[-2])] = 1.0
        found.append(float(np.sum(gradient * direction)))
        expected.append(_slope(lambda t, d=direction: scalar({**arrays, name: x + t * d}), float(np.abs(x[entry]))))
    return replace(_row(f"d{name}", found, expected), shape=x.shape)


def _slope(f: Callable[[float], float], size: float) -> float:
    """A central difference, extrapolated once (Richardson): the error is of fourth order in the step."""
    h = 1e-3 * max(1.0, size) if size > 1e-2 else 1e-4
    h = min(h, size / 4) if 0 < size < 1e-3 else h
    wide, narrow = ((f(step) - f(-step)) / (2 * step) for step in (h, h / 2))
    return (4 * narrow - wide) / 3
