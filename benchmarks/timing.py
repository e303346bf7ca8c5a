"""Times of contestants who take turns, so that a machine that is slow for a while is slow for all of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from time import perf_counter, sleep

from benchmarks.peers import Run

SPINNING = 0.11  # seconds: an idle thread of OpenBLAS looks for work for about so long, and takes a core meanwhile


@dataclass(frozen=True)
class Times:
    """Seconds for a call, by contestant and round."""

    rounds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.rounds[name])

    def ratio(self, one: str, other: str) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(a / b for a, b in zip(self.rounds[one], self.rounds[other], strict=True))


def call(run: Run, count: int) -> float:
    """Mean seconds of so many calls."""
    start = perf_counter()
    for _ in range(count):
        run()
    return (perf_counter() - start) / count


def repeats(run: Run, turn: float) -> int:
    """How many calls fill a turn."""
    count = 1
    while (taken := call(run, count) * count) < turn / 4:
        count *= 4
    return max(1, round(count * turn / taken))


def race(runs: dict[str, Run], own_threads: set[str], seconds: float, turn: float = 0.005, least: int = 3, most: int = 15) -> Times:
    """Times of rounds, for about so many seconds in all. Within a round, those who have threads of their own come last, after a rest in which
    OpenBLAS's fall asleep; the order of the rest turns from round to round. Each turn begins with a call that is not timed."""
    counts = {name: repeats(run, turn) for name, run in runs.items()}
    groups = [[name for name in runs if (name in own_threads) is own] for own in (False, True)]
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = perf_counter() + seconds
    for number in range(most):
        if number >= least and perf_counter() > end:
            break
        for group in groups:
            if group is groups[1] and group:
                sleep(SPINNING)
            for i in range(len(group)):
                name = group[(i + number) % len(group)]
                runs[name]()
                times[name].append(call(runs[name], counts[name]))
    return Times(times)
