"""Notes what the processes of a run export, four times a second: ``python -m tests.watch RUN OUT``.

It is a process of its own so that it can stand on the host of the run, whose exporters listen there
alone. Times are of the machine's monotonic clock, which all hosts of a test share.
"""

from __future__ import annotations

import bisect
import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

PAUSE = 0.25
WINDOW = 2.0
"""Seconds over which a rate is taken."""

_SAMPLE = re.compile(r"^troupe_(\w+?)_total\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(?:what|outcome)="(\w+)"')


def look(run_dir):
    """Counters of every process of a run: {process: {"acted/moves": value}}."""
    found = {}
    for file in (run_dir / "targets").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            (target,) = json.loads(file.read_text())
            address = f"http://{target['targets'][0]}/metrics"
            with urllib.request.urlopen(address, timeout=2) as answer:
                text = answer.read().decode()
            figures = found[target["labels"]["process"]] = {}
            for name, labels, value in _SAMPLE.findall(text):
                label = _LABEL.search(labels)
                figures[f"{name}/{label[1]}" if label else name] = float(value)
    return found


class Watch:
    """Has a run watched from its host; to be closed."""

    def __init__(self, on, run_dir, file):
        self._file = file
        file.touch()
        command = [*on, sys.executable, "-m", "tests.watch", str(run_dir), str(file)]
        self._process = subprocess.Popen(command, cwd=Path(__file__).parents[1])

    def close(self):
        self._process.kill()
        self._process.wait()

    def grown(self, name, prefix=""):
        """Times, and how much a counter of all processes of a name has grown by then, all told.

        A process that was started again counts on from where it was.
        """
        times, totals, total, last = [], [], 0.0, {}
        for line in self._file.read_text().splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                for process, figures in entry["found"].items():
                    if name in figures and process.startswith(prefix):
                        before = last.get(process, figures[name] if not times else 0.0)
                        total += max(0.0, figures[name] - before)
                        last[process] = figures[name]
                times.append(entry["time"])
                totals.append(total)
        return times, totals


def rate(grown, begin, seconds=WINDOW):
    """Growth a second of a window."""
    return (_at(grown, begin + seconds) - _at(grown, begin)) / seconds


def usual(grown, begin, end):
    """The median rate of the windows in a span."""
    count = max(1, int((end - begin - WINDOW) / 0.5))
    rates = sorted(rate(grown, begin + 0.5 * k) for k in range(count))
    return rates[len(rates) // 2]


def back_after(grown, mended, wanted):
    """Seconds from a mend to the first window with the wanted rate; None if there is none."""
    begin = mended
    while begin + WINDOW <= grown[0][-1]:
        if rate(grown, begin) >= wanted:
            return begin - mended
        begin += 0.1
    return None


def _at(grown, moment):
    times, totals = grown
    after = bisect.bisect_left(times, moment)
    if after == 0:
        return totals[0]
    if after == len(times):
        return totals[-1]
    share = (moment - times[after - 1]) / (times[after] - times[after - 1])
    return totals[after - 1] + share * (totals[after] - totals[after - 1])


if __name__ == "__main__":
    with open(sys.argv[2], "a", buffering=1) as out:
        while True:
            began = time.monotonic()
            out.write(json.dumps({"time": began, "found": look(Path(sys.argv[1]))}) + "\n")
            time.sleep(max(0.0, began + PAUSE - time.monotonic()))
