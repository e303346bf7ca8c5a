"""Writes the tables of docs/language.md that are read off the compiler: functions by family, and messages.

Run it with ``python -m docs.tables`` after a function or a message was added.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from dsl.diagnostics import Code
from dsl.library import library
from dsl.ops.builtins import functions
from dsl.ops.elementwise import elementwise_ops

PAGE = Path(__file__).parent / "language.md"
HIDDEN = {"operators"}


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Family, signature, derivative and meaning of every function."""
    stanzas = {name: op.stanza for name, op in elementwise_ops().items()}
    for each in functions().values():
        partials = stanzas[each.name].partials if each.name in stanzas else {}
        derivative = "; ".join(f"`d/d{name} = {text}`" for name, text in partials.items()) or each.derivative
        yield each.family, each.signature, derivative, each.doc
    for name, entry in library().entries.items():
        lines = [line.split(maxsplit=1) for line in entry.text.splitlines() if line.startswith("    d/d")]
        derivative = "; ".join(f"`{partial} = {text.strip()}`" for partial, text in lines)
        yield entry.family, f"{name}({entry.head})", derivative, entry.doc


def families() -> str:
    """A table for each family."""
    found: dict[str, list[str]] = {}
    for family, signature, derivative, doc in rows():
        if family not in HIDDEN:
            cells = [f"`{signature}`", derivative, doc]
            found.setdefault(family, []).append(" | ".join(cell.replace("|", "\\|") for cell in cells))
    parts = []
    for family, lines in found.items():
        head = "| function | derivative | notes |\n| --- | --- | --- |"
        parts.append(f"### {family[0].upper()}{family[1:]}\n\n{head}\n" + "\n".join(f"| {line} |" for line in sorted(lines)))
    return "\n\n".join(parts)


def messages() -> str:
    """A row for each code."""
    return "| code | title |\n| --- | --- |\n" + "\n".join(f"| {code.name} | {code.value} |" for code in Code)


def page(text: str) -> str:
    """The page with its tables as they must be."""
    for name, table in (("functions", families()), ("messages", messages())):
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
