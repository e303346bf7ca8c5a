"""The gallery is what ``python -m docs.gallery`` builds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from docs.gallery import EXAMPLES, GALLERY, built, index

PANEL = re.compile(r'(<script type="application/json" id="panel">)(.*?)(</script>)', re.DOTALL)
SAMPLED = re.compile(r'<section class="pane" id="check".*?</section>', re.DOTALL)


def parts(text: str) -> tuple[str, Any]:
    """A page without what is computed from samples, and these numbers, which another machine's NumPy may round otherwise."""
    found = PANEL.search(text)
    return SAMPLED.sub("", PANEL.sub("", text)), json.loads(found[2]) if found else None


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return bool(one == pytest.approx(other, rel=1e-4, abs=1e-6))
    return bool(one == other)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_page_is_current(path: Path) -> None:
    text, numbers = parts(built(path))
    kept, kept_numbers = parts((GALLERY / f"{path.stem}.html").read_text(encoding="utf-8"))
    assert text == kept, "run `python -m docs.gallery`"
    assert alike(numbers, kept_numbers), "run `python -m docs.gallery`"


def test_the_gallery_lists_every_example_and_nothing_else() -> None:
    assert {each.stem for each in GALLERY.glob("*.html")} == {path.stem for path in EXAMPLES} | {"index"}
    assert (GALLERY / "index.html").read_text(encoding="utf-8") == index()
