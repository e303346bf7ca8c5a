"""The functions that are written in the language itself: ``ops/library.expr``, each parsed when a program first names it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from dsl import syntax
from dsl.diagnostics import Source
from dsl.elaborate import Elaborator
from dsl.nodes import Node
from dsl.parse import parse, parse_expression
from dsl.rules import ruled
from dsl.scope import Closure, RuleFunction, Scope, Value
from dsl.values import array

FILE = "library.expr"
_BLOCK = re.compile(r"^((?:#.*\n)*)(def|rule) (\w+)\((.*?)\)(?: =| ->|:).*\n(?:[ \t].*\n|\n(?=[ \t]))*", re.MULTILINE)
_FAMILY = re.compile(r"^## (.*)$", re.MULTILINE)


class Entry(NamedTuple):
    """A function of the library as text: ``head`` is its parameters, ``doc`` the comment above it."""

    family: str
    head: str
    doc: str
    text: str


class Library(Mapping[str, Closure | RuleFunction]):
    """Functions by name. Looking one up parses it and nothing else."""

    def __init__(self, text: str) -> None:
        families = [(match.start(), match[1]) for match in _FAMILY.finditer(text)]
        self.entries: dict[str, Entry] = {}
        for match in _BLOCK.finditer(text):
            family = next((name for start, name in reversed(families) if start <= match.start()), "library")
            doc = " ".join(line.lstrip("# ") for line in match[1].splitlines() if not line.startswith("##"))
            self.entries[match[3]] = Entry(family, match[4], doc, match[0])
        self.scope = Scope(functions=self)
        self._parsed: dict[str, Closure | RuleFunction] = {}

    def __getitem__(self, name: str) -> Closure | RuleFunction:
        if name not in self._parsed:
            (statement,) = parse(Source(FILE, self.entries[name].text, ours=True)).statements
            if isinstance(statement, syntax.Rule):
                self._parsed[name] = ruled(statement, self.scope)
            else:
                assert isinstance(statement, syntax.Def)
                self._parsed[name] = Closure(statement, self.scope)
        return self._parsed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def applied(name: str, *args: Node) -> Node:
    """A function of the library, of values."""
    names = [f"x{i}" for i in range(len(args))]
    scope = Scope(values=dict(zip(names, args, strict=True)), parent=library().scope)
    return array(Elaborator(_unknown).expression(parse_expression(Source(FILE, f"{name}({', '.join(names)})", ours=True)), scope))


def _unknown(name: syntax.Name, scope: Scope) -> Value:
    raise AssertionError(f"the library names {name.id}, which it does not know")


@cache
def library() -> Library:
    """The library of the package."""
    return Library(files("dsl.ops").joinpath(FILE).read_text(encoding="utf-8"))
