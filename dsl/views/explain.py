"""``gradc explain``: a program's derivation in one of its forms."""

from __future__ import annotations

from dsl.diagnostics import Source
from dsl.pipeline import Compiled
from dsl.views.derivation import derivation
from dsl.views.document import document
from dsl.views.forms import latex_document, markdown, text

FORMS = {"text": text, "markdown": markdown, "latex": latex_document}


def explained(compiled: Compiled, source: Source, form: str) -> str:
    """The derivation of a compiled program's gradients: ``text``, ``markdown``, ``latex`` or ``html``. Raises DslError."""
    found = derivation(compiled, source)
    if form == "html":
        from dsl.views.page import page

        return page(found)
    return FORMS[form](document(found))
