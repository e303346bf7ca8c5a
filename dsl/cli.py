"""The command ``gradc``."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.group()
@click.version_option("0.1.0", prog_name="gradc")
def main() -> None:
    """Write the mathematics, get the gradient as NumPy code."""


@main.command("compile")
@click.argument("files", nargs=-1, required=True)
@click.option("-o", "out", help="The folder to write into; - for standard output.")
@click.option("--wrt", default="", help="The names to differentiate by, separated by commas.")
@click.option("--force", is_flag=True, help="Overwrite a file that gradc did not write.")
def compile_command(files: tuple[str, ...], out: str | None, wrt: str, force: bool) -> None:
    """Compile FILES to NumPy modules."""
    from dsl.api import compile_file
    from dsl.files import write_module
    from dsl.diagnostics import DslError

    paths = [Path(each) for each in files]
    if len({path.stem for path in paths}) < len(paths):
        raise click.UsageError("two files have one stem, so their modules would overwrite each other")
    failed = False
    for path in paths:
        try:
            text = compile_file(path, tuple(filter(None, wrt.split(","))))
            if out == "-":
                click.echo(text, nl=False)
            else:
                write_module(text, (path.parent if out is None else Path(out)) / f"{path.stem}.py", force)
        except DslError as problem:
            failed = True
            click.echo(str(problem), err=True)
    sys.exit(1 if failed else 0)


@main.command()
@click.argument("name", required=False)
def ops(name: str | None) -> None:
    """List what exists, or tell about one function."""
    from dsl.diagnostics import nearest
    from dsl.ops.builtins import functions

    table = functions()
    if name is not None and name not in table:
        close = nearest(name, table)
        raise click.UsageError(f"there is no function {name}" + (f"; did you mean {close}?" if close else ""))
    for each in [table[name]] if name else sorted(table.values(), key=lambda one: (one.family, one.name)):
        click.echo(f"{each.family:14} {each.name}({', '.join(param.name for param in each.params)})  {each.doc}".rstrip())


if __name__ == "__main__":
    main()
