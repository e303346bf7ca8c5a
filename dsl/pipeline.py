"""The order of the passes, stated once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from dsl.diagnostics import Source
from dsl.emit.render import format_module, render_module
from dsl.emit.view import view
from dsl.parse import parse
from dsl.passes.differentiate import differentiate
from dsl.passes.resolve import resolve
from dsl.passes.simplify import simplify

VERSION = "0.1.0"


@dataclass(frozen=True)
class Job:
    """What a compilation is given, and what the last stage made of it."""

    stem: str
    wrt: tuple[str, ...]
    product: Any


Stage = Callable[[Job], Any]

STAGES: tuple[tuple[str, Stage], ...] = (
    ("parse", lambda job: parse(job.product)),
    ("resolve", lambda job: resolve(job.product, job.stem, job.wrt)),
    ("differentiate", lambda job: differentiate(job.product)),
    ("simplify", lambda job: simplify(job.product)),
    ("emit", lambda job: render_module(view(job.product, VERSION))),
    ("format", lambda job: format_module(job.product)),
)


def compile_source(source: Source, stem: str, wrt: tuple[str, ...] = ()) -> str:
    """A program's module as text. Raises DslError."""
    job = Job(stem, wrt, source)
    for _, stage in STAGES:
        job = replace(job, product=stage(job))
    text: str = job.product
    return text
