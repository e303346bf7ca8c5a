"""Every function of the language, the built-in ones and those written in the language itself, for people to read about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from dsl.calculus.derivatives import FUNCTIONS as OPERATORS
from dsl.calculus.loops import FUNCTIONS as LOOPS
from dsl.elaborate import COMPARISONS
from dsl.elaborate import OPERATORS as SIGNS
from dsl.library import library
from dsl.ops.builtins import functions
from dsl.ops.elementwise import elementwise_ops


@dataclass(frozen=True)
class Entry:
    """What there is to know of a function.

    ``head`` is how it is called. A derivative is a formula for one argument, ``d/dx = cos(x)``, or says in words what reverse mode does.
    ``source`` is its definition where that is written in the language.
    """

    family: str
    name: str
    head: str
    doc: str
    derivatives: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    kink: str = ""
    source: str = ""


# what is no call: how else it is looked up, and the name that it goes by here
SPELT = {**SIGNS, **COMPARISONS, "@": "matmul", "and": "logical_and", "or": "logical_or", "not": "logical_not", ".at": "at", "set": "at"}
UPDATE = Entry(
    *("making", "at", "x.at[i, j].set(v), x.at[i, j].add(v)"),
    "A copy of x with v in the place of some entries, or added to them; where an index repeats, the last v is set, and all are added.",
    ("to x where nothing was set, to v what is read there",),
)


def _builtin() -> list[Entry]:
    found = [UPDATE]
    for each in (*functions().values(), *OPERATORS, *LOOPS):
        if each.name in elementwise_ops():
            stanza = elementwise_ops()[each.name].stanza
            derivatives = tuple(f"d/d{name} = {formula}" for name, formula in stanza.partials.items())
            domains = tuple(f"{name}: {words}" for name, words in stanza.domains.items())
            found.append(Entry(each.family, each.name, each.signature, each.doc, derivatives, domains, stanza.lines.get("kink", "")))
        else:
            found.append(Entry(each.family, each.name, each.signature, each.doc, (each.derivative,) if each.derivative else ()))
    return found


def _written() -> list[Entry]:
    found = []
    for name, entry in library().entries.items():
        lines = [line.split(maxsplit=1) for line in entry.text.splitlines() if line.startswith("    d/d")]
        derivatives = tuple(f"{partial} = {formula}" for partial, formula in lines)
        found.append(Entry(entry.family, name, f"{name}({entry.head})", entry.doc, derivatives, source=entry.text.strip()))
    return found


@cache
def catalogue() -> Mapping[str, Entry]:
    """The functions by name, family by family."""
    found = _builtin() + _written()
    families = list(dict.fromkeys(each.family for each in found))
    return {each.name: each for each in sorted(found, key=lambda each: families.index(each.family))}


def entry(name: str) -> Entry | None:
    """What is known by a name, an operator's sign, or a method's."""
    return catalogue().get(SPELT.get(name, name))


def described(entry: Entry) -> str:
    """All of it, as ``gradc ops NAME`` prints it."""
    lines = [entry.head, *([f"  {entry.doc}"] if entry.doc else []), f"  family: {entry.family}"]
    lines += [f"  derivative: {each}" for each in entry.derivatives]
    lines += [f"  domain of {each}" for each in entry.domains]
    lines += [f"  kink: {entry.kink}"] if entry.kink else []
    lines += ["", *(f"  {line}" for line in entry.source.splitlines())] if entry.source else []
    return "\n".join(lines)
