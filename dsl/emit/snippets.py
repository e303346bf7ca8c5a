"""The helpers that generated modules carry: found in ``helpers.py`` and its like, copied word for word where a module calls them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

FILES = ("helpers.py", "special_helpers.py", "softmax_helpers.py", "index_helpers.py", "linalg_helpers.py", "block_helpers.py")
STANDARD = ("functools", "importlib", "itertools", "math", "threading")
_NAME = re.compile(r"\b_[a-zA-Z]\w*")


@cache
def _sources() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every helper's text and the other helpers it names, in the order of the files."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for path in (files("dsl.emit").joinpath(name) for name in FILES):
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        for item in ast.parse(text).body:
            if isinstance(item, (ast.FunctionDef, ast.ClassDef)):
                name = item.name
            elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
                name = item.targets[0].id
            else:
                continue
            source = _source(text, item)
            found[name] = source, tuple(sorted(set(_NAME.findall(source)) - {name}))
    return found


@cache
def standing(width: int) -> frozenset[str]:
    """The functions and classes among the helpers that no line's length keeps from standing in a module as they stand here."""
    texts = (text for text, _ in _sources().values() if text.startswith(("def ", "class ", "@")))
    return frozenset(text for text in texts if max(map(len, text.split("\n"))) <= width)


def _source(text: str, item: ast.stmt) -> str:
    """A statement as it stands, its decorators above it."""
    first = min([item.lineno, *(each.lineno for each in getattr(item, "decorator_list", ()))])
    return "\n".join(text.splitlines()[first - 1 : item.end_lineno])


def imports_for(helpers: Iterable[str]) -> tuple[str, ...]:
    """What the helpers use of Python's library."""
    text = "\n".join(helpers)
    return tuple(f"import {name}" for name in STANDARD if f"{name}." in text)


def helpers_for(text: str) -> tuple[str, ...]:
    """The helpers that a text calls, and those that they call."""
    sources = _sources()
    stack = [name for name in set(_NAME.findall(text)) if name in sources]
    used: set[str] = set()
    while stack:
        name = stack.pop()
        if name not in used:
            used.add(name)
            stack += [each for each in sources[name][1] if each in sources]
    return tuple(source for name, (source, _) in sources.items() if name in used)
