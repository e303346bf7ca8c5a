"""A program as people hold it in Python: a module that a notebook shows as its page, and ``%%expr``, which compiles a cell to one."""

from __future__ import annotations

import sys
from dataclasses import replace
from html import escape
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dsl.api import filled
from dsl.diagnostics import DslError, Source, render
from dsl.files import finder, read
from dsl.pipeline import Compiled, Options, compile_source

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

HEIGHT = 720


class Loaded(ModuleType):
    """A compiled program as a module, with what it was compiled from; a notebook shows its diagram, its mathematics and its code."""

    __source__: Source
    __options__: Options

    def _repr_html_(self) -> str:
        """The page of ``gradc explain``, in a frame of its own; a message where it cannot be made."""
        from dsl.views.explain import explained

        try:
            compiled = compile_source(self.__source__, self.__name__, replace(self.__options__, format=True))
            page = explained(compiled, self.__source__, "html")
        except DslError as problem:
            return f"<pre>{escape(repr(self))}\n\n{escape(str(problem))}</pre>"
        return f'<iframe srcdoc="{escape(page)}" title="{escape(self.__name__)}" style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'

    def __repr__(self) -> str:
        return f"<program {self.__name__!r}: {', '.join(name for name in ('value', 'value_and_grad', 'forward', 'backward') if hasattr(self, name))}>"


def load(path: str | Path, wrt: tuple[str, ...] = ()) -> Loaded:
    """A file as an imported module: ``load("loss.expr").value_and_grad(X, W)``. Black, which takes as long as all the rest, is left out.
    Raises DslError."""
    path = Path(path)
    return _loaded(read(path), path.stem, Options(wrt, finder(path.parent), format=False))[0]


def _loaded(source: Source, name: str, options: Options) -> tuple[Loaded, Compiled]:
    compiled = compile_source(source, name, options)
    module = Loaded(name)
    module.__source__, module.__options__ = source, options
    filled(module, compiled.text)
    return module, compiled


# notebooks -----------------------------------------------------------------------------------------------------------


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext dsl`` does."""

    def expr(line: str, cell: str) -> Loaded:
        """Compile the cell, and bind the module to the name on the magic's line: %%expr model [--wrt W,b]"""
        name, wrt = _arguments(line)
        # the cell's own lines are counted as the notebook counts them, the magic's among them
        source = Source(f"{name}.expr", "\n" + cell.replace("\r\n", "\n"))
        module, compiled = _loaded(source, name, Options(wrt, finder(Path.cwd()), format=False))
        for each in compiled.warnings:
            print(render(each), file=sys.stderr)
        shell.user_ns[name] = module
        return module

    register: Any = shell.register_magic_function
    register(expr, "cell", "expr")


def _arguments(line: str) -> tuple[str, tuple[str, ...]]:
    """The name to bind, and what to differentiate by. Raises IPython's UsageError."""
    from IPython.core.error import UsageError

    name, *rest = line.split() or [""]
    wrt = rest[1] if len(rest) == 2 and rest[0] == "--wrt" else ""
    if not name.isidentifier() or (rest and not wrt):
        raise UsageError("write the name that the module is to have: %%expr model [--wrt W,b]")
    return name, tuple(each.strip() for each in wrt.split(",") if each.strip())
