"""Training: a run in several processes, beside the same run in one.

Both are what ``troupe train hanabi`` does, with two players, the default agent and the same seed,
each in processes of its own, and in turns. A turn is measured from its first updates on: starting,
compiling and the first games come on top. At its end the run is interrupted as by Ctrl-C, and how
long it takes until all of it has ended is measured, too.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marl.runs.monitor import read_metrics
from scripts.bench import Row

SIDES = {"several": ("--workers", "1", "--actors", "1"), "one": ()}
PEER = "one process"
TURNS = 2
"""How often each side is run; medians count."""

PATIENCE = 300.0
"""Seconds that a run has until its first update."""


def run(seconds: float) -> Iterator[Row]:
    """Measures.

    Raises:
        RuntimeError: if a run does not begin to learn.
    """
    share = seconds / (len(SIDES) * TURNS)
    turns: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(TURNS):
            for side in sorted(SIDES, reverse=bool(turn % 2)):
                turns[side].append(_turn(Path(folder) / f"{side}-{turn}", SIDES[side], share))
    for what, unit in (
        ("updates", "updates/s"),
        ("moves", "moves/s"),
        ("to end after Ctrl-C", "s"),
    ):
        figures = {side: statistics.median(t[what] for t in turns[side]) for side in SIDES}
        ratio = figures["several"] / figures["one"]
        yield Row(what, figures["several"], unit)
        yield Row(what, figures["one"], unit, PEER, 1 / ratio if unit == "s" else ratio)


def _turn(run_dir: Path, options: tuple[str, ...], seconds: float) -> dict[str, float]:
    """Trains for some seconds, and returns what was done in each, and how long it took to end."""
    command = [sys.executable, "-P", "-m", "scripts.cli", "train", "hanabi", "--players", "2"]
    command += ["--minutes", "600", "--evaluate-interval", "1000000000", "--run-dir", str(run_dir)]
    log = run_dir.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *options], stdout=output, stderr=output)
    try:
        began = _wait(run_dir, process, log)
        end = time.monotonic() + seconds
        while time.monotonic() < end or _newest(run_dir)["step"] == began["step"]:
            if process.poll() is not None:
                raise _failure("did not go on", log)
            time.sleep(0.05)
        ended = _newest(run_dir)
        interrupted = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(60)
        took = time.monotonic() - interrupted
    finally:
        process.kill()
        process.wait()
    elapsed = ended["seconds"] - began["seconds"]
    return {
        "updates": (ended["step"] - began["step"]) / elapsed,
        "moves": (ended["act/env_steps"] - began["act/env_steps"]) / elapsed,
        "to end after Ctrl-C": took,
    }


def _wait(run_dir: Path, process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """Waits until a run learns; returns what it wrote of itself then."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if (entry := _newest(run_dir))["step"] > 1:
            return entry
        time.sleep(0.1)
    raise _failure("did not begin to learn", log)


def _failure(what: str, log: Path) -> RuntimeError:
    return RuntimeError(f"the run {what}: {log.read_text(errors='replace')[-2000:]}")


def _newest(run_dir: Path) -> dict[str, Any]:
    """What a run wrote of itself last; step 0 before there is anything."""
    return (read_metrics(run_dir) or [{"step": 0}])[-1]
