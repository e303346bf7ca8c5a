"""Names of Python's that a program uses too: the user's name stands, and what the module itself says with it is said by another.

Before: ``float(np.exp(c))`` in a function with an argument ``float``. After: ``_float(np.exp(c))``, and ``_float = float`` at the top.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Collection, Iterable

_CALLED = re.compile(r"(?<![\w.])([A-Za-z]\w*)(?=\()")
_ANNOTATED = re.compile(r"^\w+: (?P<type>.*?) = ")
# the whole before its part
_TYPES = {"NDArray": "NDArray[Any]", "Any": "Any", "int": "int", "tuple": "tuple", "slice": "slice"}


def line(text: str, taken: Collection[str]) -> str:
    """A line of a function whose local names are ``taken``. No array is ever called, so what is called is Python's."""
    if text.lstrip().startswith("#"):
        return text
    if text.lstrip().startswith("def "):
        return kind(text, taken)
    annotated = _ANNOTATED.match(text)
    if annotated:
        start, end = annotated.span("type")
        text = text[:start] + kind(text[start:end], taken) + text[end:]
    return _CALLED.sub(lambda match: f"_{match[1]}" if match[1] in taken and hasattr(builtins, match[1]) else match[1], text)


def kind(text: str, taken: Collection[str]) -> str:
    """A type among the names of a class or a function."""
    for name, text_of in _TYPES.items():
        if name in taken:
            text = re.sub(rf"(?<!\w){re.escape(text_of)}(?!\w)", f"_{name}", text)
    return text


def field(name: str, text: str, taken: Collection[str]) -> str:
    """The type of a field. A tuple has methods ``count`` and ``index``, which a field of that name hides from a type checker."""
    return kind(text, taken) + ("  # type: ignore[assignment]" if hasattr(tuple, name) else "")


def prelude(texts: Iterable[str], taken: Collection[str]) -> tuple[str, ...]:
    """What the lines and types of a module need at its top."""
    words = set(re.findall(r"\b_\w+", "\n".join(texts)))
    return tuple(f"_{name} = {_TYPES.get(name, name)}" for name in sorted(taken) if f"_{name}" in words and (name in _TYPES or hasattr(builtins, name)))
