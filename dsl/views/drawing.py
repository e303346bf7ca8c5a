"""What the drawings have in common: an SVG document in light and dark, texts, and how wide a text is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import east_asian_width
from xml.sax.saxutils import escape, quoteattr

LIGHT = {
    **{"ink": "#1f2933", "soft": "#62707f", "faint": "#d5dbe2", "paper": "#ffffff"},
    **{"box": "#f4f6fa", "edge": "#8a97a6", "back": "#b4431f", "mark": "#1d5fb4"},
}
# how the drawings look; a page that holds one may set the colours itself
STYLE = f"""\
.gradc {{ {" ".join(f"--{name}: {colour};" for name, colour in LIGHT.items())} }}
"""
STYLE += """\
@media (prefers-color-scheme: dark) {
.gradc { --ink: #e6ebf1; --soft: #9aa7b5; --faint: #38424e; --paper: #14191f; --box: #202832; --edge: #76848f; --back: #ff9a6b; --mark: #7db4ff; }
}
@media print {
.gradc { --ink: #000000; --soft: #444444; --faint: #bbbbbb; --paper: #ffffff; --box: #ffffff; --edge: #555555; --back: #8a2b0b; --mark: #1d5fb4; }
}
.gradc text { fill: var(--ink); font-family: "DejaVu Sans Mono", "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: 12px; }
.gradc .soft { fill: var(--soft); }
.gradc .paper { fill: var(--paper); }
"""
# of the font's size; the widest of the fonts named above has 0.602
MONO = 0.602


def document(width: float, height: float, title: str, body: Iterable[str], style: str = "", role: str = "img") -> str:
    """A whole SVG document, which also stands within a page as it is. ``title`` is what a screen reader says of it; it reads the parts of one
    whose ``role`` is group."""
    size = f'width="{number(width)}" height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="gradc" {size} role="{role}" aria-label={quoteattr(title)}>'
    paper = f'<rect class="paper" width="{number(width)}" height="{number(height)}" rx="8"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", f"<style>\n{_for_all(STYLE + style)}</style>", paper, *body, "</svg>", ""])


def _for_all(style: str) -> str:
    """A style with the light colours for tools that know none by name, and for browsers with those that a page or the dark sets."""
    plain = re.sub(r"var\(--(\w+)\)", lambda match: LIGHT[match[1]], style)
    named = "".join(line for line in style.splitlines(keepends=True) if "var(" in line)
    return f"{plain}@supports (color: var(--ink)) {{\n{named}}}\n"


def text(x: float, y: float, content: str, classes: str = "", anchor: str = "middle", size: float = 12) -> str:
    """A line of text whose baseline is at ``y``."""
    marks = f' class="{classes}"' if classes else ""
    larger = f' style="font-size: {number(size)}px"' if size != 12 else ""
    return f'<text x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"{marks}{larger}>{escape(content)}</text>'


def escaped(content: str) -> str:
    """A text within an element."""
    return escape(content)


def width_of(content: str, size: float = 12) -> float:
    """How wide a text is at most, in pixels."""
    return sum(2 if east_asian_width(each) in "WF" else 1 for each in content) * MONO * size


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0").replace("-0", "0") if abs(value) < 0.05 else f"{value:.1f}".removesuffix(".0")
