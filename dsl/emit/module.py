"""What a module is made of, as finished strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dsl.nodes import Node


@dataclass(frozen=True)
class Field:
    name: str
    type: str


@dataclass(frozen=True)
class ClassView:
    name: str
    docstring: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class FunctionView:
    name: str
    arguments: str
    result: str
    docstring: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class ModuleView:
    """Everything the template prints, and, for views of the module, the names that forward and backward give to nodes."""

    docstring: str
    imports: tuple[str, ...]
    prelude: tuple[str, ...]
    helpers: tuple[str, ...]
    classes: tuple[ClassView, ...]
    functions: tuple[FunctionView, ...]
    pragmas: tuple[str, ...]
    called: Mapping[Node, str]


__all__ = ["ClassView", "Field", "FunctionView", "ModuleView"]
