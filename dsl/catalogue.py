"""Every function of the language, the built-in ones and those written in the language itself, for people to read about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from dsl.library import library
from dsl.ops.builtins import functions
from dsl.ops.elementwise import elementwise_ops


@dataclass(frozen=True)
class Entry:
    """What there is to know of a function: ``head`` is how it is called, ``source`` its definition where that is written in the language."""

    family: str
    name: str
    head: str
    doc: str
    derivative: str = ""
    domains: tuple[str, ...] = ()
    kink: str = ""
    source: str = ""


@cache
def catalogue() -> Mapping[str, Entry]:
    """The functions by name, family by family."""
    found: list[Entry] = []
    for each in functions().values():
        rule = elementwise_ops().get(each.name)
        domains = tuple(f"{name}: {words}" for name, words in rule.stanza.domains.items()) if rule else ()
        kink = rule.stanza.lines.get("kink", "") if rule else ""
        found.append(Entry(each.family, each.name, each.signature, each.doc, each.derivative, domains, kink))
    for name, entry in library().entries.items():
        found.append(Entry(entry.family, name, f"{name}({entry.head})", entry.doc, source=entry.text.strip()))
    families = list(dict.fromkeys(each.family for each in found))
    return {each.name: each for each in sorted(found, key=lambda each: families.index(each.family))}


def described(entry: Entry) -> str:
    """All of it, as ``gradc ops NAME`` prints it."""
    lines = [entry.head, f"  {entry.doc}" if entry.doc else "", f"  family: {entry.family}"]
    lines += [f"  derivative: {entry.derivative}"] if entry.derivative else []
    lines += [f"  domain of {each}" for each in entry.domains]
    lines += [f"  kink: {entry.kink}"] if entry.kink else []
    lines += ["", *(f"  {line}" for line in entry.source.splitlines())] if entry.source else []
    return "\n".join(line for line in lines if line or entry.source)
