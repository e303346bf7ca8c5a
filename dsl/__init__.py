"""gradc: .expr programs to standalone NumPy modules with gradients."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsl.api import compile_file as compile_file
    from dsl.api import compile_text as compile_text
    from dsl.diagnostics import DslError as DslError
    from dsl.gradcheck import check as check
    from dsl.interactive import load as load
    from dsl.interactive import load_ipython_extension as load_ipython_extension

_PLACES = {
    "DslError": "dsl.diagnostics",
    "check": "dsl.gradcheck",
    "compile_file": "dsl.api",
    "compile_text": "dsl.api",
    "load": "dsl.interactive",
    "load_ipython_extension": "dsl.interactive",
}

__all__ = ["DslError", "check", "compile_file", "compile_text", "load", "load_ipython_extension"]


def __getattr__(name: str) -> object:
    """Names are imported when they are first asked for, so that the command starts at once."""
    if name not in _PLACES:
        raise AttributeError(f"module 'dsl' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
