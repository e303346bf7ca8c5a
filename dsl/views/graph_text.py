"""A diagram as text for other tools: DOT, which Graphviz lays out, and Mermaid, which Markdown pages show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dsl.views.diagram import Array, Box, Diagram

Node = Box | Array
# a diagram of more boxes runs from top to bottom
ACROSS = 8


def dot(drawn: Diagram) -> str:
    """The diagram in DOT."""
    direction = "LR" if len(drawn.boxes) <= ACROSS else "TB"
    lines = ["digraph {", f"  rankdir={direction}", '  node [fontname="monospace" fontsize=11]', '  edge [arrowsize=0.7 color="#8a97a6"]']

    def node(each: Node) -> str:
        if isinstance(each, Box):
            return f'{quoted(each.key)} [shape=box style="rounded,filled" fillcolor="#f4f6fa" label={quoted(_said(each))}]'
        shape = "plaintext" if each.kind == "inner" else 'box style="rounded"'
        return f"{quoted(each.key)} [shape={shape} label={quoted(_said(each))}]"

    def open_group(key: str, label: str) -> str:
        return f"subgraph {quoted(f'cluster {key}')} {{ label={quoted(label)} style=rounded"

    lines += nested(drawn, node, open_group, "}")
    heads = {each.tail for each in drawn.arrows} & {each.key for each in drawn.arrays}
    tails = {each.head for each in drawn.arrows} & {each.key for each in drawn.arrays}
    for arrow in drawn.arrows:
        pair = f"  {quoted(arrow.tail)} -> {quoted(arrow.head)}"
        style = " style=dotted" if arrow.turn else ""
        lines.append(f"{pair} [dir={'none' if arrow.head in heads and not arrow.turn else 'forward'}{style}]")
        if arrow.returns:
            lines.append(f'{pair} [dir={"none" if arrow.tail in tails else "back"} style=dashed color="#b4431f" constraint=false]')
    return "\n".join([*lines, "}", ""])


def mermaid(drawn: Diagram) -> str:
    """The diagram as a Mermaid flowchart."""
    names = {each.key: f"s{i}" for i, each in enumerate(drawn.boxes, 1)} | {each.key: f"a{i}" for i, each in enumerate(drawn.arrays, 1)}
    opened = {each.key: f"g{i}" for i, each in enumerate(drawn.groups)}

    def node(each: Node) -> str:
        shape = ("[", "]") if isinstance(each, Box) else ("([", "])")
        kind = "step" if isinstance(each, Box) else each.kind
        return f'{names[each.key]}{shape[0]}"{_entities(_said(each))}"{shape[1]}:::{kind}'

    def open_group(key: str, label: str) -> str:
        return f'subgraph {opened[key]}["{_entities(label)}"]'

    lines = [f"flowchart {'LR' if len(drawn.boxes) <= ACROSS else 'TB'}", *nested(drawn, node, open_group, "end")]
    for each in drawn.arrows:
        tail, head = names[each.tail], names[each.head]
        lines.append(f"  {tail} {'-.' if each.turn else '--'}{'->' if each.turn else '>'} {head}")
        if each.returns:
            lines.append(f"  {head} -.-> {tail}")
    backs = [i for i, returns in enumerate(_order(drawn)) if returns]
    lines += [f"  linkStyle {','.join(map(str, backs))} stroke:#b4431f"] if backs else []
    lines += ["  classDef step stroke-width:1.5px", "  classDef inner fill:transparent,stroke:none", "  classDef input stroke:#8a97a6"]
    return "\n".join([*lines, "  classDef param stroke:#1d5fb4", "  classDef output stroke-width:2.5px", ""])


def _order(drawn: Diagram) -> Iterator[bool]:
    """For each line of a Mermaid chart in turn, whether a gradient flows along it."""
    for each in drawn.arrows:
        yield False
        if each.returns:
            yield True


def _said(each: Node) -> str:
    if isinstance(each, Box):
        return "\n".join([each.symbol, *([each.caption] if each.caption else []), *each.slopes])
    return "\n".join([f"{each.name} {each.shape}".strip(), *([each.gradient] if each.gradient else [])])


def nested(drawn: Diagram, node: Callable[[Node], str], open_group: Callable[[str, str], str], close: str) -> list[str]:
    """The nodes, each within its groups."""
    labels = {each.key: each.label for each in drawn.groups}
    lines: list[str] = []
    inside: tuple[str, ...] = ()
    nodes: list[Node] = [*drawn.boxes, *drawn.arrays]
    for each in sorted(nodes, key=lambda each: each.groups):
        while inside != each.groups[: len(inside)]:
            inside = inside[:-1]
            lines.append(f"{_indent(inside)}{close}")
        for key in each.groups[len(inside) :]:
            lines.append(f"{_indent(inside)}{open_group(key, labels[key])}")
            inside = (*inside, key)
        lines.append(f"{_indent(inside)}{node(each)}")
    return lines + [f"{_indent(inside[:depth])}{close}" for depth in reversed(range(len(inside)))]


def _indent(inside: Sequence[str]) -> str:
    return "  " * (len(inside) + 1)


def quoted(text: str) -> str:
    """A text as DOT has it, in quotation marks."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _entities(text: str) -> str:
    """A text within Mermaid's quotation marks."""
    return "".join(f"#{ord(each)};" if each in '"#<>&`' else "<br>" if each == "\n" else each for each in text)
