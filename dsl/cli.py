"""The command ``gradc``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dsl.diagnostics import Diagnostic
    from dsl.gradcheck import CheckReport
    from dsl.pipeline import Compiled


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradc", prog_name="gradc")
def main() -> None:
    """Write the mathematics, get the gradient as NumPy code."""


class Reporter:
    """Tells a person what went wrong, on standard error, and remembers whether anything did."""

    def __init__(self, form: str = "text") -> None:
        self.form = form
        self.failed = False

    def tell(self, diagnostics: tuple[Diagnostic, ...], file: Path) -> None:
        """``file`` is named where a diagnostic has no place."""
        import json

        from dsl.terminal import coloured

        for each in diagnostics:
            self.failed = self.failed or each.severity == "error"
            click.echo(json.dumps(each.record(str(file))) if self.form == "json" else coloured(each, str(file)), err=True)

    def attempt(self, work: Callable[[Path], None], file: Path) -> None:
        """Do a piece of work; what a user did wrong is told, what the compiler did wrong asks for a report."""
        from dsl.diagnostics import DslError, failed

        try:
            work(file)
        except DslError as problem:
            self.tell(problem.diagnostics, file)
        except BrokenPipeError:
            raise
        except Exception as problem:
            self.tell((failed(problem),), file)

    def end(self) -> None:
        sys.exit(1 if self.failed else 0)


def _names(context: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


def _stage(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from dsl.pipeline import STAGES

        stages = [stage.name for stage in STAGES]
        if value not in stages:
            raise click.BadParameter(f"{value!r} is not one of {', '.join(stages)}")
    return value


def _left_out(context: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """The optional passes that are not named, or, where each name has a minus before it, those that are."""
    from dsl.pipeline import OPTIONAL

    named = _names(context, param, value)
    less = [name.removeprefix("-") for name in named if name.startswith("-")]
    if unknown := next((name for name in named if name.removeprefix("-") not in OPTIONAL), None):
        raise click.BadParameter(f"{unknown!r} is not one of the passes that can be left out: {', '.join(OPTIONAL)}")
    if less and len(less) < len(named):
        raise click.BadParameter("give a minus to every pass, to leave these out, or to none, to run no others")
    return tuple(less) if less or value is None else tuple(name for name in OPTIONAL if name not in named)


def _sizes(context: click.Context, param: click.Parameter, value: str | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in (value or "").split(","):
        name, equals, number = part.partition("=")
        if part.strip() and (not equals or not number.strip().isdecimal()):
            raise click.BadParameter(f"{part!r} is not like N=5")
        if part.strip():
            found[name.strip()] = int(number)
    return found


FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
ROOT = click.option("--root", type=click.Path(path_type=Path), help="The folder that imports may not leave.")
FORM = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How diagnostics are written.")
WRT = click.option("--wrt", callback=_names, help="The names to differentiate by, separated by commas.")


@main.command("compile")
@FILES
@click.option("-o", "out", help="The folder to write into; - for standard output.")
@WRT
@click.option("--force", is_flag=True, help="Overwrite a file that gradc did not write.")
@click.option("--check", "checked", is_flag=True, help="Also check the gradients.")
@click.option("--watch", is_flag=True, help="Compile again whenever a file changes.")
@click.option("--dump", metavar="STAGE", callback=_stage, help="Print the program after a stage, and write nothing.")
@click.option("--explain-rewrites", "explain", is_flag=True, help="List what was written in a more accurate form, or computed in another order.")
@click.option("--passes", "without", metavar="LIST", callback=_left_out, help="Leave optional passes out (-contract), or all but the named ones.")
@click.option("--workspace", is_flag=True, help="Let value_and_grad take workspace=, which keeps arrays from call to call.")
@click.option("--no-format", "plain", is_flag=True, help="Leave out Black: faster, less beautiful.")
@ROOT
@FORM
def compile_command(files: tuple[Path, ...], out: str | None, watch: bool, form: str, **options: Any) -> None:
    """Compile FILES to NumPy modules."""
    targets: dict[Path, Path] = {}
    for path in files if out != "-" and options["dump"] is None else ():
        target = _target(path, out).resolve()
        if target in targets:
            raise click.UsageError(f"the modules of {targets[target]} and {path} would both be {target.name}")
        if target == path.resolve():
            raise click.UsageError(f"the module of {path} would overwrite it")
        targets[target] = path
    reporter = Reporter(form)
    work = partial(_compile_one, reporter=reporter, out=out, **options)
    for path in files:
        reporter.attempt(work, path)
    if watch:
        _watch(files, reporter, work)
    reporter.end()


def _target(path: Path, out: str | None) -> Path:
    return (path.parent if out is None else Path(out)) / f"{path.stem}.py"


def _compile_one(
    path: Path,
    *,
    reporter: Reporter,
    out: str | None,
    wrt: tuple[str, ...],
    force: bool,
    checked: bool,
    dump: str | None,
    explain: bool,
    plain: bool,
    root: Path | None,
    without: tuple[str, ...],
    workspace: bool,
) -> None:
    from dsl.api import compile_path, dump_path
    from dsl.files import sealed, write_module

    if dump is not None:
        click.echo(dump_path(path, dump, wrt, root, without), nl=False)
        return
    compiled = compile_path(path, wrt, root, format=not plain, without=without, workspace=workspace)
    reporter.tell(compiled.warnings, path)
    if out == "-":
        click.echo(sealed(compiled.text).encode(), nl=False)
    else:
        write_module(compiled.text, _target(path, out), force)
    if explain:
        _explain(path, compiled)
    if checked:
        from dsl.gradcheck import check

        _show(reporter, check(path, root=root, wrt=wrt))


def _explain(path: Path, compiled: Compiled) -> None:
    for each in compiled.program.rewrites:
        place = f"{path}:{each.line.number}" if each.line else str(path)
        click.echo(f"{place}: {each.before} -> {each.after}")


def _watch(files: tuple[Path, ...], reporter: Reporter, work: Callable[[Path], None]) -> None:
    """Compile the files again whenever an .expr file of their folders changes, until interrupted."""
    import signal
    import threading

    done = threading.Event()

    def stop(*_: object) -> None:
        # an exception could be lost where a graph is let go of, whose references have callbacks; who cannot wait interrupts again
        if done.is_set():
            raise KeyboardInterrupt
        done.set()

    def stamp(path: Path) -> int:
        try:
            return path.stat().st_mtime_ns
        except OSError:
            return 0

    def stamps() -> dict[Path, int]:
        return {near: stamp(near) for folder in {path.parent for path in files} for near in folder.rglob("*.expr")}

    before, usual = stamps(), signal.signal(signal.SIGINT, stop)
    try:
        while not done.wait(0.2):
            now = stamps()
            if now != before:
                before, reporter.failed = now, False
                for path in files:
                    click.echo(f"compiling {path}", err=True)
                    reporter.attempt(work, path)
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGINT, usual)


@main.command("check")
@FILES
@click.option("--dims", callback=_sizes, help="Sizes to check with, as N=5,D=3.")
@click.option("--seed", default=0, help="What the samples are drawn from.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.svg", help="Also draw the error of finite differences against their step.")
@WRT
@ROOT
@FORM
def check_command(
    files: tuple[Path, ...], dims: dict[str, int], seed: int, plot: Path | None, wrt: tuple[str, ...], root: Path | None, form: str
) -> None:
    """Compare the gradients of FILES with finite differences."""
    from dsl.gradcheck import check

    if plot is not None and len(files) > 1:
        raise click.UsageError("--plot draws the check of one file")
    _keep_apart(plot, files)
    reporter = Reporter(form)

    def one(path: Path) -> None:
        report = check(path, dims, seed, root, wrt)
        _show(reporter, report)
        if plot is not None:
            from dsl.views.plot import plotted

            _give(plotted(report), plot)

    for path in files:
        reporter.attempt(one, path)
    reporter.end()


def _keep_apart(out: Path | None, files: tuple[Path, ...]) -> None:
    """What is drawn or explained does not take the place of a program."""
    for path in files:
        if out is not None and out.resolve() == path.resolve():
            raise click.UsageError(f"the output would overwrite {path}")


def _give(text: str, out: Path | None) -> None:
    """A view of a program, to a file or to standard output."""
    from dsl.files import write_drawing

    if out is None or str(out) == "-":
        click.echo(text.encode(), nl=False)
    else:
        write_drawing(text, out)


@main.command("graph")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "out", type=click.Path(path_type=Path), help="The file to write; by default standard output.")
@click.option("--format", "form", type=click.Choice(["svg", "dot", "mermaid"]), help="By default as the name after -o ends, else svg.")
@click.option("--backward", is_flag=True, help="Also draw the derivative of each operation, and the gradients that flow back.")
@click.option("--elements", is_flag=True, help="Write small products out as multiplications and additions.")
@click.option("--collapse", type=click.Choice(["none", "functions", "lines"]), help="Draw a function, or a line, as one box; by default as is readable.")
@click.option("--dims", callback=_sizes, help="Sizes for --elements, as N=1,D=3; by default 2.")
@WRT
@ROOT
def graph_command(file: Path, out: Path | None, form: str | None, root: Path | None, wrt: tuple[str, ...], **options: Any) -> None:
    """Draw the computational graph of FILE."""
    _keep_apart(out, (file,))
    reporter = Reporter()
    kind = form or _form_of(out, {".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid"}, "svg")

    def work(path: Path) -> None:
        from dsl.api import compile_path
        from dsl.views.graph import graph

        compiled = compile_path(path, wrt, root, format=False)
        reporter.tell(compiled.warnings, path)
        _give(graph(compiled.program, kind, **options), out)

    reporter.attempt(work, file)
    reporter.end()


def _form_of(out: Path | None, endings: Mapping[str, str], default: str) -> str:
    """What the name of a file says is to be in it. Raises BadParameter for an ending that says something else."""
    ending = out.suffix.lower() if out is not None else ""
    if ending and ending not in endings:
        raise click.BadParameter(f"nothing is written as {ending}: end the name in one of {', '.join(endings)}, or say --format", param_hint="-o")
    return endings.get(ending, default)


def _show(reporter: Reporter, report: CheckReport) -> None:
    from dsl.terminal import table

    sizes = ", ".join(f"{name} = {size}" for name, size in report.sizes.items())
    click.echo(f"{report.name}" + (f" with {sizes}" if sizes else ""))
    rows = [(row.name, str(row.shape), f"{row.absolute:.1e}", f"{row.relative:.1e}", row.verdict) for row in report.rows]
    table(("", "shape", "largest difference", "relative", ""), rows)
    reporter.failed = reporter.failed or not report.ok


@main.command("fmt")
@FILES
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit with 1 where a file would change.")
@FORM
def fmt_command(files: tuple[Path, ...], only_check: bool, form: str) -> None:
    """Format .expr FILES in place; comments stay."""
    reporter = Reporter(form)

    def one(path: Path) -> None:
        from dsl.files import read, rewrite
        from dsl.format import format_source

        source = read(path)
        text = format_source(source)
        if text.encode() == path.read_bytes():
            return
        click.echo(f"{'would format' if only_check else 'formatted'} {path}")
        if only_check:
            reporter.failed = True
        else:
            rewrite(text, path)

    for path in files:
        reporter.attempt(one, path)
    reporter.end()


@main.command("explain")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "markdown", "latex", "html"]), help="By default what the name of -o says, else text.")
@click.option("-o", "out", type=click.Path(path_type=Path), help="The file to write; default: standard output.")
@WRT
@ROOT
def explain_command(file: Path, form: str | None, out: Path | None, wrt: tuple[str, ...], root: Path | None) -> None:
    """Derive the gradients of FILE step by step: the chain rule, each rule, each line of code."""
    _keep_apart(out, (file,))
    reporter = Reporter()
    chosen = form or _form_of(out, {".txt": "text", ".md": "markdown", ".tex": "latex", ".html": "html", ".htm": "html"}, "text")

    def one(path: Path) -> None:
        from dsl.api import compile_path
        from dsl.files import read
        from dsl.views.explain import explained

        compiled = compile_path(path, wrt, root)
        reporter.tell(compiled.warnings, path)
        _give(explained(compiled, read(path), chosen), out)

    reporter.attempt(one, file)
    reporter.end()


@main.command("ops")
@click.argument("name", required=False)
def ops_command(name: str | None) -> None:
    """List what exists, or tell all about one function."""
    from dsl.catalogue import catalogue, described, entry
    from dsl.diagnostics import nearest
    from dsl.terminal import table

    entries = catalogue()
    if name is None:
        table(("family", "function", ""), [(each.family, each.head, each.doc.partition(". ")[0]) for each in entries.values()])
        return
    found = entry(name)
    if found is None:
        close = nearest(name, entries)
        raise click.UsageError(f"there is no function {name}" + (f"; did you mean {close}?" if close else ""))
    click.echo(described(found))


if __name__ == "__main__":
    main()
