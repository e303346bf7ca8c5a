"""A large diagram in fewer boxes: a user's function, a line of the source, or several lines as one.

Before: a box for each step. After: a box for each group of steps, and between them the arrays that go from one to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dsl.views.diagram import Arrow, Box, Diagram, shortened
from dsl.views.steps import Composition, Step

MOST = 40


def collapsed(drawn: Diagram, made: Composition, level: str | None = None) -> Diagram:
    """The diagram with ``functions`` or ``lines`` as one box each, or with ``none``; by default with as many boxes as a person can look at."""
    lines = len({step.line for step in made.steps})
    parts: dict[str, Callable[[], Parts]] = {
        "none": dict,
        "functions": lambda: _functions(drawn),
        "lines": lambda: _lines(drawn, made, 1),
        "runs of lines": lambda: _lines(drawn, made, -(-lines // MOST)),
    }
    for each in parts.values() if level is None else (parts[level],):
        found = _merged(drawn, each(), made)
        if len(found.boxes) <= MOST:
            break
    return found


Parts = Mapping[str, tuple[str, str]]


def _functions(drawn: Diagram) -> Parts:
    """The boxes that stand in a function's call: the call's key, and its name."""
    labels = {each.key: each.label for each in drawn.groups}
    return {each.key: (each.groups[0], labels[each.groups[0]]) for each in drawn.boxes if each.groups}


def _lines(drawn: Diagram, made: Composition, several: int) -> Parts:
    """The boxes of each line, or of several that follow one another."""
    numbers = {each.key: made.of(each.steps[0]).line.number for each in drawn.boxes}
    order = sorted(set(numbers.values()))
    runs = [order[i : i + several] for i in range(0, len(order), several)]
    labels = {number: f"line {run[0]}" if len(run) == 1 else f"lines {run[0]} to {run[-1]}" for run in runs for number in run}
    return {key: (labels[number], labels[number]) for key, number in numbers.items()}


def _merged(drawn: Diagram, parts: Parts, made: Composition) -> Diagram:
    members: dict[str, list[Box]] = {}
    for each in drawn.boxes:
        members.setdefault(parts.get(each.key, (each.key, ""))[0], []).append(each)
    target = {each.key: boxes[0].key for boxes in members.values() for each in boxes}
    near: dict[str, set[str]] = {each.key: set() for each in drawn.arrays}
    for arrow in drawn.arrows:
        for array, other in ((arrow.tail, arrow.head), (arrow.head, arrow.tail)):
            if array in near and other in target:
                near[array].add(target[other])
    # an array that only one of the new boxes makes and reads is inside it
    target |= {each.key: next(iter(near[each.key])) for each in drawn.arrays if each.kind == "inner" and len(near[each.key]) == 1}
    sizes = {boxes[0].key: len(boxes) for boxes in members.values()}
    target = {key: box for key, box in target.items() if sizes[box] > 1 or key == box}
    merged = [boxes[0] if len(boxes) == 1 else _one(boxes, parts[boxes[0].key][1], made) for boxes in members.values()]
    kept = {group for each in merged for group in each.groups}
    arrays = [replace(each, groups=tuple(group for group in each.groups if group in kept)) for each in drawn.arrays if each.key not in target]
    arrows: dict[tuple[str, str], Arrow] = {}
    for arrow in drawn.arrows:
        tail, head = target.get(arrow.tail, arrow.tail), target.get(arrow.head, arrow.head)
        if tail != head:
            known = arrows.get((tail, head))
            turn = arrow.turn if (tail, head) == (arrow.tail, arrow.head) else ""
            arrows[tail, head] = Arrow(tail, head, arrow.returns or (known is not None and known.returns), turn)
    groups = tuple(each for each in drawn.groups if each.key in kept)
    return replace(drawn, boxes=tuple(merged), arrays=tuple(arrays), arrows=tuple(arrows.values()), groups=groups)


def _one(boxes: Sequence[Box], label: str, made: Composition) -> Box:
    """Several boxes as one; the source's line says what it does."""
    steps: list[Step] = [made.of(number) for each in boxes for number in each.steps]
    line = steps[-1].line
    title = "\n".join([f"line {line.number}: {line.text}", *(f"{each.name} = {each.text}" for each in steps)])
    groups = boxes[0].groups if label.startswith("line") and all(each.groups == boxes[0].groups for each in boxes) else ()
    return Box(boxes[0].key, tuple(each.number for each in steps), label, shortened(line.text, 44), title=title, groups=groups)
