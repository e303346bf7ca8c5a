"""gradc: .expr programs to standalone NumPy modules with gradients."""

from dsl.api import compile_file, compile_text, load
from dsl.diagnostics import DslError

__all__ = ["DslError", "compile_file", "compile_text", "load"]
