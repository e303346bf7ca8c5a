"""The command: exit status, where modules go, what is refused, and that a killed run leaves the target absent, old or whole."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import dsl.cli
from dsl.files import is_ours, sealed, write_module
from dsl.pipeline import STAGES

GOOD = "param x: [N]\nL = sum(x ** 2)\n"
BAD = "L = sum(x))\n"
Write = Callable[..., list[str]]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(dsl.cli.main, arguments, prog_name="gradc")


def command(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(dsl.cli.__file__).parent.parent), **options}
    return subprocess.run([sys.executable, "-m", "dsl", *arguments], capture_output=True, text=True, env=environment)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes programs into the working folder, by name without .expr."""
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> list[str]:
        for stem, text in texts.items():
            Path(f"{stem}.expr").write_text(text, encoding="utf-8")
        return [f"{stem}.expr" for stem in texts]

    return write


def test_statuses(write: Write) -> None:
    good, bad, wrong = write(good=GOOD, bad=BAD, wrong="rule r(x) -> out\n    value  x ** 2\n    d/dx   x\nparam x: [N]\nL = sum(r(x))\n")
    assert run("compile", good).exit_code == 0
    assert run("compile", bad).exit_code == 1
    assert run("compile", "missing.expr").exit_code == 1
    assert run("compile").exit_code == 2
    assert run("compile", good, "--nonsense").exit_code == 2
    assert run("check", good).exit_code == 0
    assert run("check", wrong).exit_code == 1
    assert run("check", good, "--dims", "N").exit_code == 2
    assert run("check", good, "--dims", "N=²").exit_code == 2
    assert run("nonsense").exit_code == 2
    assert run("--help").exit_code == run("-h").exit_code == 0
    assert run("ops", "tanhh").exit_code == 2
    assert "did you mean tanh" in run("ops", "tanhh").output
    assert run("ops", "tanh").exit_code == 0


def test_where_modules_go(write: Write) -> None:
    one, two = write(one=GOOD, two=GOOD)
    assert run("compile", one, two).output == ""
    assert Path("one.py").exists() and Path("two.py").exists()
    assert run("compile", one, "-o", "new/folder").exit_code == 0
    assert Path("new/folder/one.py").read_bytes() == Path("one.py").read_bytes()
    shown = run("compile", one, "-o", "-")
    assert shown.stdout.encode() == Path("one.py").read_bytes() and shown.stderr == ""
    assert is_ours(Path("one.py").read_text())


def test_good_files_beside_bad_ones_are_written(write: Write) -> None:
    bad, good = write(bad=BAD, good=GOOD)
    shown = run("compile", bad, good)
    assert shown.exit_code == 1 and "error[E0105]" in shown.stderr and shown.stdout == ""
    assert Path("good.py").exists() and not Path("bad.py").exists()


def test_one_target_for_two_files_is_refused_before_anything_is_written(write: Write) -> None:
    write(one=GOOD, other=GOOD)
    Path("folder").mkdir()
    Path("folder/one.expr").write_text(GOOD)
    for arguments in (["one.expr", "folder/one.expr", "-o", "out"], ["one.expr", "./one.expr"], ["other.expr", "one.expr", "folder/../one.expr"]):
        shown = run("compile", *arguments)
        assert shown.exit_code == 2 and "would both be one.py" in shown.stderr
    assert not list(Path().rglob("*.py"))
    assert run("compile", "one.expr", "other.expr", "folder/one.expr").exit_code == 0
    Path("program.py").write_text(GOOD)
    assert run("compile", "program.py", "--force").exit_code == 2
    assert Path("program.py").read_text() == GOOD


def test_definitions_alone(write: Write) -> None:
    (layers,) = write(layers="def f(x) = x\n")
    shown = run("compile", layers)
    assert shown.exit_code == 0 and "note[N0101]" in shown.stderr and not Path("layers.py").exists()


def test_what_a_person_wrote_is_kept(write: Write) -> None:
    (good,) = write(good=GOOD)
    target = Path("good.py")
    for mine in ("", "print('mine')\n", "# gradc: 123\n"):
        target.write_text(mine)
        shown = run("compile", good)
        assert shown.exit_code == 1 and "error[E0502]" in shown.stderr and target.read_text() == mine
    assert run("compile", good, "--force").exit_code == 0
    whole = target.read_text()
    target.write_text(whole.replace("np.", "np .", 1))
    assert run("compile", good).exit_code == 1
    target.write_text(whole)
    write(good=GOOD + "M = L * 2\n")
    assert run("compile", good).exit_code == 0
    assert target.read_text() != whole


def test_a_module_that_is_as_it_was_is_not_written_again(write: Write) -> None:
    (good,) = write(good=GOOD)
    run("compile", good)
    before = Path("good.py").stat()
    run("compile", good)
    after = Path("good.py").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_outputs_that_cannot_be_written(write: Write) -> None:
    (good,) = write(good=GOOD)
    Path("file").write_text("")
    Path("out/good.py").mkdir(parents=True)
    for place in ("file", "file/below", "/dev/null/modules", "out", "a" * 300):
        shown = run("compile", good, "-o", place)
        assert shown.exit_code == 1 and "error[E0501]" in shown.stderr, place
    assert sorted(each.name for each in Path().iterdir()) == ["file", "good.expr", "out"]


def test_links_are_followed_and_permissions_kept(write: Write) -> None:
    (good,) = write(good=GOOD)
    Path("real.py").symlink_to("else.py")
    Path("good.py").symlink_to("real.py")
    assert run("compile", good).exit_code == 0
    assert Path("good.py").is_symlink() and is_ours(Path("else.py").read_text())
    Path("else.py").chmod(0o600)
    write(good="param x: [N]\nL = sum(x)\n")
    assert run("compile", good).exit_code == 0
    assert Path("else.py").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in Path().glob(".*")] == []


def test_wrt(write: Write) -> None:
    (good,) = write(good="param x: [N]\ninput y: [N]\nL = sum(x * y)\n")
    assert "y: NDArray" in run("compile", good, "-o", "-", "--wrt", "y").output.partition("class Gradients")[2].partition("def ")[0]
    shown = run("compile", good, "--wrt", "x,z")
    assert shown.exit_code == 1 and "error[E0402]" in shown.stderr


def test_check_with_compile(write: Write) -> None:
    (good,) = write(good=GOOD)
    shown = run("compile", good, "--check")
    assert shown.exit_code == 0 and "ok" in shown.stdout and Path("good.py").exists()


def test_check_prints_a_table(write: Write) -> None:
    (good,) = write(good=GOOD)
    shown = run("check", good, "--dims", "N=7", "--seed", "3")
    assert shown.exit_code == 0 and "N = 7" in shown.stdout and shown.stderr == "" and "\x1b" not in shown.stdout


def test_a_gradient_that_cannot_be_checked(write: Write) -> None:
    (whole,) = write(whole="input n: int[N]\ninput x: [N]\nM = n + 1\nL = sum(x)\n")
    assert run("check", whole).exit_code in (0, 1)


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES])
def test_dump(stage: str, write: Write) -> None:
    (good,) = write(good=GOOD)
    shown = run("compile", good, "--dump", stage)
    assert shown.exit_code == 0 and shown.stdout and not Path("good.py").exists()


def test_dump_of_no_stage(write: Write) -> None:
    (good,) = write(good=GOOD)
    shown = run("compile", good, "--dump", "nonsense")
    assert shown.exit_code == 2 and all(stage.name in shown.stderr for stage in STAGES)


@pytest.mark.parametrize(("passes", "form"), [("-stabilise", "np.log("), ("share,normalise", "np.log("), ("stabilise", "_softplus("), ("-share", "_softplus(")])
def test_passes_left_out(passes: str, form: str, write: Write) -> None:
    (stable,) = write(stable="L = sum(log(1 + exp(x)))\n")
    shown = run("compile", stable, "-o", "-", "--passes", passes)
    assert shown.exit_code == 0 and form in shown.stdout


@pytest.mark.parametrize("passes", ["-resolve", "nonsense", "-share,stabilise"])
def test_passes_that_cannot_be_left_out(passes: str, write: Write) -> None:
    (good,) = write(good=GOOD)
    shown = run("compile", good, "-o", "-", "--passes", passes)
    assert shown.exit_code == 2 and "--passes" in shown.stderr and "Traceback" not in shown.stderr and not shown.stdout


def test_explain_rewrites(write: Write) -> None:
    (stable,) = write(stable="L = sum(log(1 + exp(x)))\n")
    shown = run("compile", stable, "-o", "out", "--explain-rewrites")
    assert shown.exit_code == 0 and shown.stdout.startswith("stable.expr:1: ")


def test_diagnostics_as_json(write: Write) -> None:
    files = write(bad="y = x +\nz = 1e999\n", empty="", idle="input x: [N]\ninput y: [N]\nL = sum(x)\n")
    shown = run("compile", *files, "missing.expr", "-o", "out", "--format", "json")
    found = [json.loads(line) for line in shown.stderr.splitlines()]
    assert shown.exit_code == 1 and shown.stdout == ""
    assert [(each["file"], each["line"], each["code"]) for each in found] == [
        *(("bad.expr", 1, "E0105"), ("bad.expr", 2, "E0109"), ("empty.expr", None, "E0104")),
        *(("idle.expr", 2, "W0102"), ("missing.expr", None, "E0101")),
    ]
    assert {*found[0]} == {"code", "severity", "file", "line", "column", "end_line", "end_column", "message", "label", "help"}


def test_no_format(write: Write) -> None:
    (good,) = write(good=GOOD)
    assert run("compile", good, "--no-format").exit_code == 0
    assert is_ours(Path("good.py").read_text())


def test_root(write: Write) -> None:
    write(layers="def f(x) = sum(x ** 2)\n")
    Path("inner").mkdir()
    Path("inner/layers.expr").symlink_to(Path("layers.expr").resolve())
    Path("inner/main.expr").write_text("from layers import f\nL = f(x)\n")
    assert "error[E0206]" in run("compile", "inner/main.expr").stderr
    assert run("compile", "inner/main.expr", "--root", ".").exit_code == 0


def test_fmt(write: Write) -> None:
    rough, good, bad = write(rough="y=x+1 # one\n", good=GOOD, bad=BAD)
    shown = run("fmt", "--check", rough, good)
    assert shown.exit_code == 1 and shown.stdout == "would format rough.expr\n" and Path(rough).read_text() == "y=x+1 # one\n"
    assert run("fmt", rough, good).stdout == "formatted rough.expr\n"
    assert Path(rough).read_text() == "y = x + 1  # one\n"
    assert run("fmt", "--check", rough, good).exit_code == 0
    Path(good).write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert run("fmt", good).exit_code == 0 and Path(good).read_bytes() == GOOD.encode()
    assert run("fmt", bad).exit_code == 1 and Path(bad).read_text() == BAD


def test_a_failure_of_the_compiler_asks_for_a_report(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    (good,) = write(good=GOOD)
    monkeypatch.setattr("dsl.api.compile_path", lambda *_: 1 // 0)
    shown = run("compile", good)
    assert shown.exit_code == 1 and "error[E0901]" in shown.stderr and "report it" in shown.stderr and not Path("good.py").exists()


def test_the_module_is_the_command(write: Write) -> None:
    good, bad = write(good=GOOD, bad=BAD)
    shown = command("compile", good, "-o", "-", PYTHONIOENCODING="ascii")
    assert (shown.returncode, shown.stderr) == (0, "") and is_ours(shown.stdout)
    assert command("compile", bad).returncode == 1
    assert command("compile").returncode == 2
    assert command("--version").stdout.startswith("gradc, version ")


def test_greek_on_a_terminal_that_has_none(write: Write) -> None:
    (greek,) = write(greek="λ = sum(σ)\n")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(dsl.cli.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-m", "dsl", "compile", greek, "-o", "-"], capture_output=True, env=environment)
    assert done.returncode == 0 and "λ" in done.stdout.decode()


def test_a_reader_that_stops_early(write: Write) -> None:
    (good,) = write(good=GOOD)
    read, closed = os.pipe()
    os.close(read)
    environment = {**os.environ, "PYTHONPATH": str(Path(dsl.cli.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-m", "dsl", "compile", good, "-o", "-"], stdout=closed, stderr=subprocess.PIPE, env=environment)
    os.close(closed)
    assert done.returncode == 1 and b"Traceback" not in done.stderr and b"E0901" not in done.stderr


def until(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold within half a minute."""
    end = time.monotonic() + 30
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def test_watch(write: Write) -> None:
    (good,) = write(good=GOOD, layers="def f(x) = x\n")[:1]
    environment = {**os.environ, "PYTHONPATH": str(Path(dsl.cli.__file__).parent.parent)}
    watching = subprocess.Popen([sys.executable, "-m", "dsl", "compile", good, "--watch"], stderr=subprocess.PIPE, text=True, env=environment)
    target = Path("good.py")
    try:
        assert until(target.exists)
        time.sleep(0.5)
        write(good=BAD)
        time.sleep(0.5)
        write(good="param x: [N]\nloss_of_it = sum(x)\n")
        assert until(lambda: "loss_of_it" in target.read_text())
    finally:
        watching.send_signal(signal.SIGINT)
        _, shown = watching.communicate(timeout=30)
    assert watching.returncode == 0 and "Traceback" not in shown


WRITES = """
import sys
from pathlib import Path
from dsl.files import write_module
print("ready", flush=True)
for i in range(10**9):
    write_module(f"# {i}\\n" + "x = 1\\n" * 20000, Path(sys.argv[1]))
"""


def test_killed_at_any_moment_the_target_is_absent_old_or_whole(tmp_path: Path) -> None:
    target = tmp_path / "module.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(dsl.cli.__file__).parent.parent)}
    rng = random.Random(0)
    for _ in range(8):
        writing = subprocess.Popen([sys.executable, "-c", WRITES, str(target)], stdout=subprocess.PIPE, env=environment)
        assert writing.stdout is not None
        writing.stdout.readline()
        time.sleep(rng.random() / 20)
        writing.kill()
        writing.communicate()
        assert not target.exists() or is_ours(target.read_text())


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "module.py"
    write_module("old\n", target)
    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(Exception, match="E0501"):
        write_module("new\n", target)
    assert target.read_text() == sealed("old\n") and [each.name for each in tmp_path.iterdir()] == ["module.py"]
