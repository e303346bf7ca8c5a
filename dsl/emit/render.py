"""Finished strings to a formatted module. The only importer of Jinja and Black."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from dsl.emit.snippets import standing
from dsl.emit.view import ModuleView

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    text = files("dsl").joinpath("templates", "module.py.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(text)


def render_module(view: ModuleView) -> str:
    """The module's text, not formatted yet."""
    return _template().render(view=view)


def format_module(text: str) -> str:
    """The text as Black writes it. Black takes milliseconds a statement, so what stands in its style already, helpers and most statements, is
    kept from it: a run of such lines goes through as one name."""
    import black

    kept: list[str] = []
    lines: list[str] = []
    for part in text.split("\n\n\n"):
        lines += ["", ""] if lines else []
        if part.strip("\n") in standing(WIDTH):
            lines.append(f"{_HOLE}{len(kept)}")
            kept.append(part)
        else:
            _keep_settled(part.split("\n"), lines, kept)
    formatted = black.format_str("\n".join(lines), mode=black.Mode(line_length=WIDTH))
    return _HOLES.sub(lambda match: kept[int(match[1])], formatted)


def _keep_settled(part: Sequence[str], lines: list[str], kept: list[str]) -> None:
    """The lines of a function, those that Black would not change put into ``kept``. A comment stays with the function below it, before which Black
    leaves a line free."""
    quoted = False
    for line, following in zip(part, (*part[1:], ""), strict=True):
        settled = line if line.lstrip().startswith("#") else _POWER.sub(r"\1**\2", line)
        quotes = line.count('"""')
        unsettled = quoted or quotes or following.lstrip().startswith("def ")
        if unsettled or not _SETTLED.match(settled) or len(settled) > WIDTH or any(not _PLAIN_SLICE.match(each) for each in _SLICE.findall(settled)):
            lines.append(line)
            quoted ^= quotes == 1
            continue
        hole = " " * (len(line) - len(line.lstrip())) + _HOLE
        if lines and lines[-1].startswith(hole):
            kept[-1] += "\n" + settled
        else:
            lines.append(f"{hole}{len(kept)}")
            kept.append(settled)


WIDTH = 100
_HOLE = "_kept_"
_HOLES = re.compile(rf"^ *{_HOLE}(\d+)$", re.MULTILINE)
# a comment, a field of a tape, or an assignment, a return or a call of NumPy that has no quotes but of plain strings, none of its own layout and no
# trailing comma but a 1-tuple's
_TARGET = r"\w+(?:\[[\w.:, ]+\])?"
_SETTLED = re.compile(
    rf""" +(?:# \S.*|\w+: NDArray\[Any\]|(?:{_TARGET}(?:, {_TARGET})* (?:[-+*/@]|\*\*|//)?= (?!\()|return (?!\()|np\.(?=\w+\())"""
    r"""(?:[^'"#,]|f?"[^"\\]*"|,(?! *(?:[)\]]|$))|(?<=\(\w),\))*)$"""
)
_SLICE = re.compile(r"\[([^\[\]]*:[^\[\]]*)\]")
_PLAIN_SLICE = re.compile(r"(?:None|\.\.\.|-?\d*:(?:-?\d+)?(?::-?\d+)?|\w+)(?:, (?:None|\.\.\.|-?\d*:(?:-?\d+)?(?::-?\d+)?|\w+))*$")
# Black writes x**2 where both operands are names, dotted names or numbers, and x[0] ** 2 elsewhere
_POWER = re.compile(r"(?<![\w.)\]])([A-Za-z_][\w.]*|\d[\w.]*) \*\* ([A-Za-z_][\w.]*|-?\d[\w.]*(?:e-?\d+)?)(?![\w.(\[])")
