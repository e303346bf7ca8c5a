"""Every stage prints as text that a person can read, and that reads back as the same program."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dsl.diagnostics import Source
from dsl.files import finder, read
from dsl.nodes import Program, topological
from dsl.pipeline import STAGES, Job, Options, dump_source
from dsl.printing import printed, rules_of
from dsl.reading import program_of
from tests.test_golden import CASES, EXAMPLES, GRAPHS


@cache
def stages(path: Path) -> dict[str, Any]:
    """What every stage makes of a program; Black is left out, because it adds nothing here."""
    job = Job(path.stem, Options(find=finder(path.parent), format=False), read(path))
    made = {}
    for name, stage, _ in STAGES:
        job = replace(job, product=stage(job))
        made[name] = job.product
    return made


def finished(program: Program, after: str) -> str:
    """The module that the stages behind one make of its program."""
    job = Job(program.stem, Options(format=False), program)
    names = [name for name, *_ in STAGES]
    for _, stage, _ in STAGES[names.index(after) + 1 :]:
        job = replace(job, product=stage(job))
    return str(job.product)


def held(program: Program) -> dict[str, Any]:
    """What a program is, without what was told of it and what nothing needs."""
    nodes = set(topological([*program.names, *program.every_root]))
    fields = ("docstring", "arguments", "outputs", "wrt", "checks", "hints", "cotangents", "gradients", "fused", "alone", "ways")
    found = {field: getattr(program, field) for field in fields}
    found["names"] = list(program.names.items())
    found["lines"] = {node: line for node, line in program.lines.items() if node in nodes}
    found["adjoints"] = [list(program.adjoints.items()), list(program.fused_adjoints.items())]
    return found


@pytest.mark.parametrize("stage", GRAPHS)
@pytest.mark.parametrize("path", [*EXAMPLES, *CASES], ids=lambda path: path.stem)
def test_reads_back_as_the_same_program(path: Path, stage: str) -> None:
    made = stages(path)
    text = printed(made[stage])
    again = program_of(text, path.stem, rules_of(made[stage]))
    assert held(again) == held(made[stage])
    assert printed(again) == text
    assert finished(again, stage) == made["emit"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_parsing_keeps_the_text(path: Path) -> None:
    assert printed(stages(path)["parse"]) == read(path).text


def test_formulas_are_written_as_a_person_would() -> None:
    source = "input X: [N, D]\nparam w: [D]\n\ny = -(X @ w) ** 2\nz = (y + 1) * y[:, None] / (2 - y)\nL = sum(where(z > 0, z, 0), axis=0) @ y\n"
    shown = dump_source(Source("it.expr", source), "it", "resolve")
    for formula in ("-(X @ w) ** 2", "(y + 1) * y[:, None] / (2 - y)", "sum(where(z > 0, z, 0), axis=-2) @ y", "output L", "_wrt = (w,)"):
        assert formula in shown


TAKEN = (
    "param inf, x0, v0: [N]\n\ndL_dx0 = where(x0 > 0, x0, 1e308 * 10) * inf\nL = sum(exp(dL_dx0) * exp(v0) * (exp(v0) + 1))\n",
    "param x: [N]\nconst dt = 0.1\n\nt = sum((x + dt * x) ** 2)\n",
)


@pytest.mark.parametrize("source", TAKEN)
def test_names_that_are_taken_give_way(source: str) -> None:
    for stage in GRAPHS:
        text = dump_source(Source("it.expr", source), "it", stage)
        assert printed(program_of(text, "it")) == text
