"""Random formulas: of each kind a form, in which ``{v}`` is another of kind v, or a name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

Texts = Mapping[str, tuple[str, ...]]


def formula(draw: DrawFn, kind: str, forms: Texts, names: Texts, depth: int) -> str:
    """A formula of a kind, so many forms deep, or deeper where a kind has no names."""
    if names[kind] and (not depth or draw(st.integers(0, 5)) == 0):
        return draw(st.sampled_from(names[kind]))
    form = draw(st.sampled_from(forms[kind]))
    return re.sub(r"\{(\w)\}", lambda place: formula(draw, place[1], forms, names, depth - 1), form)
