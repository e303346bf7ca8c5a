"""The page of a program: source, diagram, derivation and generated code side by side, and a panel that checks the gradient by nudging.

One file that stands alone: nothing is fetched. A step is marked with its number in every part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files

from dsl.pipeline import VERSION
from dsl.views.derivation import Chain, Derivation
from dsl.views.document import Block, Code, Display, Heading, Inline, Paragraph, Table, chain_rule, derivatives, function, quotient
from dsl.views.graph import svg
from dsl.views.marks import marked, places, python, step_attributes
from dsl.views.mathml import inner, mathml
from dsl.views.panel import Panel, panel


def page(found: Derivation) -> str:
    """The page of a derivation. Raises DslError where the diagram cannot be laid out."""
    styles, script = (files("dsl.views").joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    numbers = panel(found.compiled)
    body = [
        *_head(found),
        "<main>",
        _pane("source", "Source", _source(found)),
        _pane("diagram", "Diagram", _diagram(found)),
        _pane("derivation", "Derivation", "\n".join(_derivation(found))),
        _pane("code", "Generated code", _code(found)),
        *([_pane("check", "Check the gradient", _check(numbers, found))] if numbers else []),
        "</main>",
        f"<footer>Made by gradc {VERSION} from {escape(found.title)}.expr. Nothing is fetched: the page can be kept and read offline.</footer>",
        '<div id="said" class="said" aria-live="polite"></div>',
        _data("steps", {str(each.step.number): _spoken(each.step.number, each.step.name, each.step.text, each.shape) for each in found.steps}),
        *([_data("panel", numbers.record())] if numbers else []),
        f"<script>\n{script}</script>",
    ]
    head = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(found.title)}</title>",
        f'<link rel="icon" href="data:,">\n<style>\n{styles}</style>\n</head>\n<body>',
    ]
    return "\n".join([*head, *body, "</body>\n</html>\n"])


def _spoken(number: int, name: str, text: str, shape: str) -> str:
    return f"Step {number}: {name} = {text}, {shape}"


def _data(name: str, value: object) -> str:
    """Numbers for the script; nothing in them can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _head(found: Derivation) -> Iterator[str]:
    for name, words in (("derivation", "derivation"), ("code", "generated code")):
        yield f'<a class="skip" href="#{name}">Skip to the {words}</a>'
    said = f"<p>{escape(' '.join(found.docstring.split()))}</p>" if found.docstring else ""
    yield f"<header><h1>{escape(found.title)}</h1>{said}</header>"
    buttons = "".join(
        f'<li><button type="button" data-step="{step.number}" aria-pressed="false"><b>{step.number}</b>{escape(f"{step.name} = {step.text}")}</button></li>'
        for step in found.composition.steps
    )
    yield f'<nav aria-label="Steps"><ol>{buttons}</ol></nav>'


def _pane(name: str, title: str, content: str) -> str:
    return f'<section class="pane" id="{name}" aria-labelledby="{name}-title" tabindex="-1">\n<h2 id="{name}-title">{title}</h2>\n{content}\n</section>'


def _diagram(found: Derivation) -> str:
    """The graph, made smaller where the page is narrow, though not too small to be read."""
    drawn = svg(found.composition)
    match = re.search(r'width="([\d.]+)"', drawn)
    width = float(match[1]) if match else 0.0
    sized = drawn.replace("<svg ", f'<svg style="--width: {width:.0f}px" ', 1)
    return f'<div class="frame" role="group" aria-label="The computational graph, forward and backward">{sized}</div>'


def _source(found: Derivation) -> str:
    text = found.source.text.rstrip("\n")
    return f"<pre><code>{marked(text, places(found.composition, found.source))}</code></pre>"


def _code(found: Derivation) -> str:
    """forward and backward, and the whole module to unfold."""
    parts = []
    for name in ("forward", "backward"):
        numbers = found.listing.functions[name]
        lines = [found.listing.lines[number - 1] for number in numbers]
        parts.append(f"<h4>{name}</h4>\n<pre><code>{python(lines, found.listing.steps, numbers[0])}</code></pre>")
    whole = escape("\n".join(found.listing.lines), quote=False)
    parts.append(f"<details><summary>The whole module, which needs NumPy and nothing else</summary>\n<pre><code>{whole}</code></pre></details>")
    return "\n".join(parts)


# the derivation ------------------------------------------------------------------------------------------------------


def _derivation(found: Derivation) -> Iterator[str]:
    yield "<h4>The function, step by step</h4>"
    yield from map(_block, function(found))
    yield "<h4>The chain rule</h4>"
    ways = {Display(each.parts): each for each in found.chains if each.ways}
    for block in chain_rule(found):
        yield _chain(ways[block]) if isinstance(block, Display) and block in ways else _block(block)
    yield "<h4>Each derivative, from the last step to the first</h4>"
    opened = False
    for block in derivatives(found):
        if isinstance(block, Heading):
            yield ("</section>\n" if opened else "") + f'<section id="derive-{block.step}" {step_attributes([block.step or 0])}>'
            opened = True
        yield _block(block)
    if opened:
        yield "</section>"


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h3>{_words(block.words)}</h3>"
    if isinstance(block, Display):
        after = f' <span class="after">{escape(block.after)}</span>' if block.after else ""
        return f'<div class="formula">{mathml(block.latex, True, block.plain)}{after}</div>'
    if isinstance(block, Paragraph):
        label = f"<b>{escape(block.label)}</b>" if block.label else ""
        return f'<p class="remark">{label}{_words(block.words)}</p>' if block.step or block.label else f"<p>{_words(block.words)}</p>"
    if isinstance(block, Table):
        head = "".join(f'<th scope="col">{escape(each)}</th>' for each in block.head)
        rows = (
            f"<tr {step_attributes([step or 0])}>{''.join(f'<td>{_words(cell)}</td>' for cell in row)}</tr>"
            for step, row in zip(block.steps, block.rows, strict=True)
        )
        return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    assert isinstance(block, Code)
    return f'<div class="line mono">{python(list(block.lines), {}).rstrip()}</div>'


def _words(words: Iterable[Inline]) -> str:
    return "".join(escape(each) if isinstance(each, str) else mathml(each.latex, alt=each.plain) for each in words)


def _chain(chain: Chain) -> str:
    """The chain rule with the steps marked at its factors, a way a line; last the gradient as one formula."""
    (_, left), *rest = chain.parts
    lines = []
    for i, way in enumerate(chain.ways):
        sign = '<mo form="infix">+</mo>' if i else f"{inner(left.latex)}<mo>=</mo>" if rest else ""
        lines.append(sign + "<mo>·</mo>".join(f'<mrow data-step="{each.step}">{inner(quotient(each.above, each.below).latex)}</mrow>' for each in way))
    if len(rest) > len(chain.ways):
        lines.append(f'<mo form="infix">=</mo>{inner(rest[-1][1].latex)}')
    said = escape(Display(chain.parts).plain)
    shown = "".join(f'<div class="formula"><math display="block" alttext="{said}"><mrow>{each}</mrow></math></div>' for each in lines)
    return f'<div class="ways">{shown}</div>'


# the panel -----------------------------------------------------------------------------------------------------------


def _check(numbers: Panel, found: Derivation) -> str:
    options = "".join(f'<option value="{i}">{escape(each.name)} = {each.value:g}</option>' for i, each in enumerate(numbers.curves))
    short = {long: name for name, long in found.sizes}
    sizes = ", ".join(f"{short.get(name, name)} = {size}" for name, size in numbers.sizes.items())
    output = escape(numbers.output)
    what = f"the sum of {output}" if numbers.summed else output
    middle = (len(numbers.curves[0].offsets) - 1) // 2
    start = min(middle + 8, 2 * middle)
    return f"""<p>Random arguments{f" with {escape(sizes)}" if sizes else ""} give {what} = {numbers.value:.6g}. Choose an entry and nudge it: near the
start {what} follows the tangent, whose slope is the gradient.</p>
<noscript><p>The panel needs JavaScript, which this page does not fetch but holds.</p></noscript>
<div class="controls">
<label class="grow">Entry<select id="entry">{options}</select></label>
<label class="grow">Nudge<input id="nudge" type="range" min="0" max="{2 * middle}" step="1" value="{start}"></label>
</div>
<svg id="chart" viewBox="0 0 640 300" role="img" aria-label="{what} against the entry"></svg>
<p class="legend"><span><i></i>{what}</span><span class="t"><i></i>tangent: its slope is the gradient</span></p>
<dl><dt>nudged by</dt><dd id="nudged"></dd><dt>{what} there</dt><dd id="true"></dd><dt>by the tangent</dt><dd id="linear"></dd>
<dt>gradient, from backward</dt><dd id="slope"></dd><dt>slope, from nudging a little</dt><dd id="measured"></dd></dl>"""


__all__ = ["page"]
