"""Builds ``docs/gallery``: the page of each example, and one that lists them.

Run it with ``python -m docs.gallery`` after an example, the generated code or the pages have changed; a test holds the gallery to it.
``python -m docs.gallery rnn lstm`` builds those alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path

from dsl.api import compile_path
from dsl.files import read
from dsl.views.explain import explained

ROOT = Path(__file__).resolve().parent.parent
GALLERY = ROOT / "docs" / "gallery"
EXAMPLES = sorted((ROOT / "examples").glob("*.expr"))


def built(path: Path) -> str:
    """The page of an example."""
    return explained(compile_path(path), read(path), "html")


def index() -> str:
    """The page that lists the others, each with what its program says of itself."""
    cards = "\n".join(f'<li><a href="{path.stem}.html">{path.stem}</a><p>{escape(_said(path))}</p></li>' for path in EXAMPLES)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Examples</title>
<link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; --ink: #1f2933; --soft: #596775; --faint: #d5dbe2; --paper: #ffffff; --ground: #f2f4f8; --mark: #1d5fb4; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6ebf1; --soft: #9aa7b5; --faint: #38424e; --paper: #14191f; --ground: #0d1116; --mark: #7db4ff; }}
}}
body {{ margin: 0 auto; padding: 1.6rem 1.25rem; max-width: 80rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }}
h1 {{ font-size: 1.7rem; margin: 0 0 .3rem; }}
p {{ margin: .2rem 0 0; color: var(--soft); }}
ul {{ display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); list-style: none; margin: 1.4rem 0 0; padding: 0; }}
li {{ background: var(--paper); border: 1px solid var(--faint); border-radius: 12px; padding: .9rem 1.1rem; }}
li p {{ font-size: .9rem; }}
a {{ color: var(--mark); font-weight: 600; overflow-wrap: anywhere; }}
a:focus-visible {{ outline: 2px solid var(--mark); outline-offset: 2px; }}
</style>
</head>
<body>
<h1>Examples</h1>
<p>Each program as its source, its diagram, its derivation and its generated code, with a panel that checks the gradient.</p>
<ul>
{cards}
</ul>
</body>
</html>
"""


def _said(path: Path) -> str:
    """The comment that a program begins with."""
    lines = path.read_text(encoding="utf-8").split("\n")
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return " ".join(line.lstrip("# ") for line in lines[:end])


def build(stems: Iterable[str] = ()) -> None:
    """Write the pages of some examples, or of all, and the one that lists them; pages of examples that are gone go too."""
    GALLERY.mkdir(exist_ok=True)
    pages = {path.stem: path for path in EXAMPLES}
    for old in GALLERY.glob("*.html"):
        if old.stem not in pages:
            old.unlink()
    for stem in stems or pages:
        (GALLERY / f"{stem}.html").write_text(built(pages[stem]), encoding="utf-8")
    (GALLERY / "index.html").write_text(index(), encoding="utf-8")


if __name__ == "__main__":
    build(sys.argv[1:])
