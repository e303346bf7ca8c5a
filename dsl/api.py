"""What people call: compile a text or a file, load a file as a module."""

from __future__ import annotations

import linecache
from pathlib import Path
from types import ModuleType
from typing import Any

from dsl.diagnostics import Source
from dsl.files import finder, read
from dsl.pipeline import Compiled, Options, compile_source, dump_source


def compile_text(text: str, stem: str = "program", wrt: tuple[str, ...] = (), format: bool = True) -> str:
    """The module of a program as text; ``wrt`` names what to differentiate by, else the params. Raises DslError."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return compile_source(Source(f"{stem}.expr", text), stem, Options(wrt, format=format)).text


def compile_path(path: Path, wrt: tuple[str, ...] = (), root: Path | None = None, **options: Any) -> Compiled:
    """A file compiled, with its warnings; imports are followed within ``root``, by default the file's folder. For the other ``options`` see
    ``dsl.pipeline.Options``. Raises DslError."""
    return compile_source(read(path), path.stem, Options(wrt, finder(root or path.parent), **options))


def dump_path(path: Path, stage: str, wrt: tuple[str, ...] = (), root: Path | None = None, without: tuple[str, ...] = ()) -> str:
    """What a stage makes of a file, as text. Raises DslError."""
    return dump_source(read(path), path.stem, stage, Options(wrt, finder(root or path.parent), without=without))


def compile_file(path: str | Path, wrt: tuple[str, ...] = ()) -> str:
    """The module of a file as text. Raises DslError."""
    return compile_path(Path(path), wrt).text


def module_of(text: str, name: str) -> ModuleType:
    """The text of a generated module as a module; its tracebacks show its lines."""
    module = ModuleType(name)
    filled(module, text)
    return module


def filled(module: ModuleType, text: str) -> None:
    """Run the text of a generated module in a module; tracebacks show its lines."""
    file = f"<gradc {module.__name__}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), module.__dict__)
