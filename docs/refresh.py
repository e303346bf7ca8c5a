"""Writes what the pages show of the compiler: the tables of functions and messages, and generated code.

Run it with ``python -m docs.refresh`` after a function, a message or the generated code has changed; a test holds the pages to it.
A fence ``python generated=sigmoid_sum functions=forward,backward`` shows these functions of the module of examples/sigmoid_sum.expr.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from dsl import compile_file
from dsl.diagnostics import Code
from dsl.library import library
from dsl.ops.builtins import functions
from dsl.ops.elementwise import elementwise_ops

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ("elementwise", "two arguments", "activations", "reductions", "shape", "making", "products", "losses and layers", "order")
NOT_CALLED = {"operators"}


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
    found: dict[str, set[str]] = {name: set() for name in FAMILIES}
    for family, *cells in rows():
        if family not in NOT_CALLED:
            signature, derivative, doc = (cell.replace("|", "\\|") for cell in cells)
            found.setdefault(family, set()).add(f"| `{signature}` | {derivative} | {doc} |")
    head = "| function | derivative | notes |\n| --- | --- | --- |\n"
    return "\n\n".join(f"### {name[0].upper()}{name[1:]}\n\n{head}" + "\n".join(sorted(lines)) for name, lines in found.items() if lines)


def messages() -> str:
    """A row for each code."""
    return "| code | title |\n| --- | --- |\n" + "\n".join(f"| {code.name} | {code.value} |" for code in Code)


def shown(stem: str, names: list[str]) -> str:
    """Functions of an example's module, as they stand there."""
    text = compile_file(ROOT / "examples" / f"{stem}.expr")
    places = {each.name: each for each in ast.parse(text).body if isinstance(each, ast.FunctionDef)}
    lines = text.splitlines()
    return "\n\n\n".join("\n".join(lines[places[name].lineno - 1 : places[name].end_lineno]) for name in names)


def refreshed(text: str) -> str:
    """A page with its tables and generated code as they must be."""
    for name, table in (("functions", families), ("messages", messages)):
        if f"<!-- {name} -->" in text:
            text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda match, table=table: f"{match[1]}\n{table()}\n\n{match[2]}", text, flags=re.DOTALL)
    fence = re.compile(r"(^```python generated=(\w+) functions=([\w,]+)\n).*?(^```$)", re.MULTILINE | re.DOTALL)
    return fence.sub(lambda match: f"{match[1]}{shown(match[2], match[3].split(','))}\n{match[4]}", text)


PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

if __name__ == "__main__":
    for page in PAGES:
        page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")
