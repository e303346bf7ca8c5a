"""The order of the passes, stated once."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from dsl.diagnostics import Diagnostic, Source
from dsl.emit.render import format_module, render_module
from dsl.emit.view import view
from dsl.imports import Find, nowhere
from dsl.nodes import Program
from dsl.parse import parse
from dsl.passes.choose import choose
from dsl.passes.contract import contract
from dsl.passes.differentiate import differentiate
from dsl.passes.factor import factor, reuse
from dsl.passes.hasten import hasten
from dsl.passes.hoist import hoist, lift
from dsl.passes.logsums import as_products, logsums
from dsl.passes.moments import moments, multiplied_out
from dsl.passes.recur import recur
from dsl.passes.resolve import resolve
from dsl.passes.share import share
from dsl.passes.simplify import normalise, simplify
from dsl.passes.stabilise import stabilise
from dsl.passes.stream import stream
from dsl.printing import printed

VERSION = "0.1.0"


@dataclass(frozen=True)
class Options:
    """What a compilation may be told: the names to differentiate by, how imports are found, whether Black lays the module out, the optional
    passes to leave out, and whether ``value_and_grad`` takes a workspace."""

    wrt: tuple[str, ...] = ()
    find: Find = nowhere
    format: bool = True
    without: tuple[str, ...] = ()
    workspace: bool = False


@dataclass(frozen=True)
class Job:
    """A compilation: what it was given, and what the last stage made of it."""

    stem: str
    options: Options
    product: Any


@dataclass(frozen=True)
class Compiled:
    """A module's text, the program behind it, and what the person who compiles should know."""

    text: str
    program: Program
    warnings: tuple[Diagnostic, ...]


class Stage(NamedTuple):
    """A stage's name, what it does, and whether the modules are right without it too."""

    name: str
    run: Callable[[Job], Any]
    optional: bool = False


def _other_ways(job: Job) -> list[Program]:
    """What value_and_grad may take instead: each is a program that a pass makes, and that goes through some stages of its own."""
    program, made = job.product, list[Program]()
    names = [stage.name for stage in STAGES]
    for name in program.ways:
        start, again = _WAYS[name]
        other = replace(job, product=start(program))
        for stage in STAGES[names.index(again) : names.index("moments")]:
            other = _after(stage, other)
        made += [other.product] * bool(other.product.fused)
    return made


# what begins another way, and the first of the stages that it goes through
_WAYS: dict[str, tuple[Callable[[Program], Program], str]] = {"logsums": (as_products, "contract"), "moments": (multiplied_out, "reorder")}
STAGES = (
    Stage("parse", lambda job: parse(job.product)),
    Stage("resolve", lambda job: resolve(job.product, job.stem, job.options.wrt, job.options.find)),
    Stage("stabilise", lambda job: stabilise(job.product), optional=True),
    Stage("normalise", lambda job: normalise(job.product), optional=True),
    Stage("logsums", lambda job: logsums(job.product), optional=True),
    Stage("contract", lambda job: contract(job.product), optional=True),
    Stage("factor", lambda job: factor(job.product), optional=True),
    Stage("hoist", lambda job: hoist(share(job.product)), optional=True),
    Stage("differentiate", lambda job: differentiate(job.product)),
    Stage("share", lambda job: share(job.product), optional=True),
    Stage("reuse", lambda job: reuse(job.product), optional=True),
    Stage("sink", lambda job: hoist(job.product), optional=True),
    Stage("recur", lambda job: recur(job.product), optional=True),
    Stage("simplify", lambda job: simplify(job.product)),
    Stage("choose", lambda job: choose(job.product), optional=True),
    Stage("hasten", lambda job: hasten(job.product), optional=True),
    Stage("lift", lambda job: lift(job.product), optional=True),
    Stage("reorder", lambda job: contract(job.product), optional=True),
    Stage("stream", lambda job: stream(job.product), optional=True),
    Stage("moments", lambda job: moments(job.product), optional=True),
    Stage("emit", lambda job: render_module(view(job.product, VERSION, _other_ways(job), job.options.workspace))),
    Stage("format", lambda job: format_module(job.product) if job.options.format else job.product),
)
OPTIONAL = tuple(stage.name for stage in STAGES if stage.optional)


def _run(source: Source, stem: str, options: Options) -> Iterator[tuple[str, Any]]:
    """Every stage's name and what it made. Raises DslError."""
    job = Job(stem, options, source)
    for stage in STAGES:
        with _uncollected():
            job = _after(stage, job)
        yield stage.name, job.product


def _after(stage: Stage, job: Job) -> Job:
    """A job after a stage, which it may leave out."""
    return job if stage.name in job.options.without else replace(job, product=stage.run(job))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: a graph has no cycles, and walking it for some takes a third of the time of a large program."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def dump_source(source: Source, stem: str, stage: str, options: Options | None = None) -> str:
    """What a stage makes of a source, as text that reads back as the same. Raises DslError."""
    product = next(made for name, made in _run(source, stem, options or Options()) if name == stage)
    return product if isinstance(product, str) else printed(product)


def compile_source(source: Source, stem: str, options: Options | None = None) -> Compiled:
    """Run every stage. Raises DslError."""
    products = [product for _, product in _run(source, stem, options or Options())]
    program = next(product for product in reversed(products) if isinstance(product, Program))
    return Compiled(products[-1], program, program.warnings)
