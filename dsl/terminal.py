"""What a person sees: in colour on a terminal, plain anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from dsl.diagnostics import Diagnostic, render


def coloured(diagnostic: Diagnostic, file: str) -> str:
    """A diagnostic for standard error; ``file`` is named where it has no place."""
    text = render(diagnostic, file)
    if not sys.stderr.isatty() or "NO_COLOR" in os.environ:
        return text
    colour = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "note": "\x1b[1;36m"}[diagnostic.severity]
    head, _, rest = text.partition(": ")
    return f"{colour}{head}\x1b[0m: {rest}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows in columns on standard output; rich draws them on a terminal."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        drawn = Table(*heads, box=None, header_style="bold")
        for row in rows:
            drawn.add_row(*row, style="red" if row[-1].startswith("FAIL") else None)
        Console().print(drawn, markup=False)
        return
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if line:
            print(line)
