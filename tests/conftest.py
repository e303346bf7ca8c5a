"""Goldens: expected texts in files. ``pytest --update-golden`` is the only way that they change, and such a run always fails."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# tests run in a process for each core, whose matrix products would fight for them
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

Hold = Callable[[Path, str | None], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="Write what the compiler gives now into the goldens; the run fails.")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Hold:
    """Holds a file to a text, or to be absent where that is None."""

    def hold(path: Path, text: str | None) -> None:
        found = path.read_bytes().decode() if path.exists() else None
        if found != text and request.config.getoption("--update-golden"):
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode())
            pytest.fail(f"{path.name} is {'deleted' if text is None else 'written'}: look at the difference")
        assert found == text, f"{path.name} is not what the compiler gives now; `pytest --update-golden` accepts the difference"

    return hold


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What has just been written has not been looked at."""
    if session.config.getoption("--update-golden"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
