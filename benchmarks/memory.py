"""Peak memory beyond the arguments, each measured in a fresh process at a program's large size.

    python -m benchmarks.memory NAME CONTESTANT

prints the bytes of one case. It is the highest resident size that Linux saw during a call, less the size before it. An equal call went before, so that
libraries, thread stacks and compiled code are there already; the system's allocator is told to give memory back at once.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.program import case

ROOT = Path(__file__).resolve().parent.parent
STATUS = Path("/proc/self/status")
MEASURED = ("gradc", "gradc2", "hand", "jax")
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def peaks(names: Iterable[str], contestants: Iterable[Contestant]) -> dict[str, dict[str, int]]:
    """Bytes by program and contestant; nothing where the system does not tell."""
    if not STATUS.exists():
        return {}
    taking_part = [each for each in contestants if each.name in MEASURED]
    return {name: {each.name: peak for each in taking_part if (peak := fresh_peak(name, each.name)) is not None} for name in names}


def fresh_peak(name: str, contestant: str) -> int | None:
    environment = {**os.environ, **GIVE_BACK, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.memory", name, contestant]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return int(shown) if shown.strip() else None


def kilobytes(field: str) -> int:
    return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith(field))


def peak(name: str, contestant: str) -> int | None:
    """The peak of one call in this process."""
    built = case(name, "large")
    run = next(each for each in CONTESTANTS if each.name == contestant).build(built)
    if run is None:
        return None
    run()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = kilobytes("VmRSS")
    run()
    return 1024 * max(0, kilobytes("VmHWM") - before)


if __name__ == "__main__":
    found = peak(*sys.argv[1:])
    print("" if found is None else found)
