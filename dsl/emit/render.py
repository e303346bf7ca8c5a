"""Finished strings to a formatted module. The only importer of Jinja and Black."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

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
    """The text as Black writes it."""
    import black

    return black.format_str(text, mode=black.Mode(line_length=100))
