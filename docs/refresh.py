"""Writes what the pages show of the compiler: the tables of functions and messages, generated code, the README's diagram, and the gallery.

Run it with ``python -m docs.refresh`` after a function, a message or the generated code has changed; a test holds the pages to it.
A fence ``python generated=sigmoid_sum functions=forward,backward`` shows these functions of the module of examples/sigmoid_sum.expr, or of
the program that the page itself has under ``expr file=sigmoid_sum.expr``; ``text explain=sigmoid_sum`` shows that example's derivation.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from docs.gallery import build
from dsl import compile_text
from dsl.api import compile_path
from dsl.catalogue import catalogue
from dsl.diagnostics import Code, printable
from dsl.files import read
from dsl.views.explain import explained
from dsl.views.graph import graph

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ("elementwise", "two arguments", "activations", "reductions", "shape", "making", "products", "losses and layers", "loops", "derivatives", "order")
NOT_CALLED = {"operators"}


def families() -> str:
    """A table for each family."""
    found: dict[str, set[str]] = {name: set() for name in FAMILIES}
    for each in catalogue().values():
        if each.family not in NOT_CALLED:
            derivative = "; ".join(f"`{text}`" if text.startswith("d/d") else text for text in each.derivatives)
            cells = (cell.replace("|", "\\|") for cell in (f"`{each.head}`", derivative, each.doc))
            found.setdefault(each.family, set()).add(f"| {' | '.join(cells)} |")
    head = "| function | derivative | notes |\n| --- | --- | --- |\n"
    return "\n\n".join(f"### {name[0].upper()}{name[1:]}\n\n{head}" + "\n".join(sorted(lines)) for name, lines in found.items() if lines)


def messages() -> str:
    """A row for each code, with a program, or a command, that gets it."""

    def example(code: Code) -> str:
        return "<br>".join(f"`{printable(line).strip()}`" for line in code.example.splitlines()).replace("|", "\\|")

    return "| code | title | for example |\n| --- | --- | --- |\n" + "\n".join(f"| {code.name} | {code.title} | {example(code)} |" for code in Code)


def shown(program: str, names: list[str]) -> str:
    """Functions of a program's module, as they stand there."""
    text = compile_text(program)
    places = {each.name: each for each in ast.parse(text).body if isinstance(each, ast.FunctionDef)}
    lines = text.splitlines()
    return "\n\n\n".join("\n".join(lines[places[name].lineno - 1 : places[name].end_lineno]) for name in names)


TABLES = {"functions": families, "messages": messages}
TABLE = re.compile(rf"(<!-- ({'|'.join(TABLES)}) -->\n).*?(<!-- end -->)", re.DOTALL)
FENCE = re.compile(r"(^```python generated=(\w+) functions=([\w,]+)\n).*?(^```$)", re.MULTILINE | re.DOTALL)


EXPLAINED = re.compile(r"(^```text explain=(\w+)\n).*?(^```$)", re.MULTILINE | re.DOTALL)


def explanation(stem: str) -> str:
    """The chain rule and the derivatives of an example, as the terminal shows them."""
    path = ROOT / "examples" / f"{stem}.expr"
    shown = explained(compile_path(path), read(path), "text")
    return shown[shown.index("The chain rule") : shown.index("The generated code")].rstrip()


PROGRAM = re.compile(r"^```expr file=(\w+)\.expr\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def refreshed(text: str) -> str:
    """A page with its tables and generated code as they must be."""
    programs = dict(PROGRAM.findall(text))

    def program(stem: str) -> str:
        return programs.get(stem) or (ROOT / "examples" / f"{stem}.expr").read_text(encoding="utf-8")

    text = TABLE.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n\n{match[3]}", text)
    text = EXPLAINED.sub(lambda match: f"{match[1]}{explanation(match[2])}\n{match[3]}", text)
    return FENCE.sub(lambda match: f"{match[1]}{shown(program(match[2]), match[3].split(','))}\n{match[4]}", text)


def diagram() -> str:
    """The picture of the README."""
    return graph(compile_path(ROOT / "examples" / "sigmoid_sum.expr").program, backward=True)


PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

if __name__ == "__main__":
    for page in PAGES:
        page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")
    (ROOT / "docs" / "sigmoid_sum.svg").write_text(diagram(), encoding="utf-8")
    build()
