"""Soak: a run in several processes under faults, whose memory has to stay level and books right.

A small run with two workers, two actors and replay in a shard is trained for as long as the bench
is given (an hour: ``make soak``). Every so often one of its processes is killed, or stopped for a
few seconds, each role in turn. The memory of every process is sampled, and a line is laid through
it: within each life of a process, once it has settled, all lives of a role together.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from marl.runs.monitor import read_metrics
from scripts.bench import Row
from transport.launch import PROCESSES

OPTIONS = (
    "hanabi:2@small", "--workers", "2", "--actors", "2", "--replay-shards", "1",
    "--agent.hidden", "32", "--agent.memory", "32", "--agent.text-hidden", "32",
    "--learner.batch", "16", "--learner.lanes", "1", "--actor.num-games", "32",
    "--warm-up", "200", "--replay.capacity", "1000", "--replay.capacity-bytes", "4194304",
    "--evaluate-interval", "1000000000",
    "--checkpoint-minutes", "0.2", "--minutes", "100000", "--metrics-port", "0",
)  # fmt: skip
ROLES = ("worker-0", "actor-0", "broker", "shard", "learner")
"""Who is hit, in turn; the others of a role live as long as the run."""

SAMPLE = 2.0
"""Seconds between two looks at the memory."""

STOPPED = 4.0
"""Seconds for which a process is stopped; every other fault is of that kind."""

SETTLING = 0.08
"""Share of the soak, from the start of a life on, that does not count, at least a minute: libraries
are loaded, code is compiled, replay is filled."""

LONG = 1800.0
"""Seconds from which on a line through the memory says enough to fail by."""

BOUND = 0.1
"""Share of its memory by which a role may grow in an hour."""

PATIENCE = 900.0
"""Seconds that the run has until it learns."""


@dataclass
class Memory:
    """Bytes of one process, from its start to its end: times in seconds and values."""

    times: list[float] = field(default_factory=list)
    values: list[int] = field(default_factory=list)


def run(seconds: float) -> Iterator[Row]:
    """Trains under faults.

    Raises:
        RuntimeError: if the run ends or does not learn, something was lost, or memory grows.
    """
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        log = Path(folder) / "log"
        command = [sys.executable, "-P", "-m", "scripts.cli", "train", *OPTIONS]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--run-dir", str(run_dir)], stdout=output, stderr=output
            )
        try:
            _wait(run_dir, process, log)
            lives, faults = _soak(run_dir, process, log, seconds)
            process.send_signal(signal.SIGINT)
            if process.wait(60):
                raise _failure("did not end as it should", log)
        finally:
            process.kill()
            process.wait()
        newest = read_metrics(run_dir)[-1]
        yield Row("updates", newest["step"], "")
        yield Row("moves", newest["act/env_steps"], "")
        for kind, count in sorted(faults.items()):
            yield Row(f"faults: {kind}", count, "")
        for name in ("lost", "balance", "repeated", "rolled_back"):
            yield Row(f"insertions: {name}", newest[f"ledger/{name}"], "")
        if newest["ledger/lost"] or newest["ledger/balance"]:
            raise RuntimeError("insertions were lost, or the ledger is not balanced")
        grown = []
        for role, (mean, slope) in _slopes(lives, max(60.0, SETTLING * seconds)).items():
            yield Row(f"memory of {role}", mean / 2**20, "MiB")
            yield Row(f"memory of {role}: growth", slope * 3600 / 2**20, "MiB an hour")
            if slope * 3600 > BOUND * mean:
                grown.append(role)
        if grown and seconds >= LONG:
            raise RuntimeError(
                f"memory of {', '.join(grown)} grows by more than {BOUND:.0%} an hour"
            )


def _soak(
    run_dir: Path, process: subprocess.Popen[bytes], log: Path, seconds: float
) -> tuple[dict[tuple[str, int], Memory], Counter[str]]:
    """Hits processes in turn; returns the memory of every life and how often who was hit."""
    pause = max(6.0, seconds / 30)  # So that everybody has a few lives, and those are long.
    began = time.monotonic()
    fault_at, lives, faults = began + pause, defaultdict[tuple[str, int], Memory](Memory), 0
    hit: Counter[str] = Counter()
    while (now := time.monotonic()) < began + seconds:
        if process.poll() is not None:
            raise _failure("has ended", log)
        pids = _pids(run_dir)
        for name, pid in {**pids, "driver": process.pid}.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                memory = lives[name, pid]
                memory.values.append(psutil.Process(pid).memory_info().rss)
                memory.times.append(now - began)
        if now >= fault_at and now + 2 * pause < began + seconds:
            fault_at = now + pause
            name = ROLES[faults // 2 % len(ROLES)]
            stops = faults % 2 == 1
            faults += 1
            with contextlib.suppress(KeyError, ProcessLookupError):
                os.kill(pids[name], signal.SIGSTOP if stops else signal.SIGKILL)
                hit[f"{name} {'stopped' if stops else 'killed'}"] += 1
                if stops:
                    time.sleep(STOPPED)
                    os.kill(pids[name], signal.SIGCONT)
        time.sleep(SAMPLE)
    return lives, hit


def _slopes(
    lives: dict[tuple[str, int], Memory], settling: float
) -> dict[str, tuple[float, float]]:
    """Mean bytes of every role, and by how many bytes a second its processes grow.

    One slope for all lives of a role, each with a level of its own, by least squares.
    """
    roles: defaultdict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for (name, _), memory in lives.items():
        times, values = np.array(memory.times), np.array(memory.values, float)
        settled = times >= times[0] + settling if len(times) else np.zeros(0, bool)
        if settled.sum() >= 3:
            times, values = times[settled], values[settled]
            roles[name.partition("-")[0]].append((times - times.mean(), values))
    found = {}
    for role, each in sorted(roles.items()):
        across = sum(float(times @ (values - values.mean())) for times, values in each)
        spread = sum(float(times @ times) for times, _ in each)
        mean = float(np.concatenate([values for _, values in each]).mean())
        found[role] = mean, across / spread
    return found


def _pids(run_dir: Path) -> dict[str, int]:
    try:
        return dict(json.loads((run_dir / PROCESSES).read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _wait(run_dir: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until a run learns."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if (read_metrics(run_dir) or [{"step": 0}])[-1]["step"] > 1:
            return
        time.sleep(0.2)
    raise _failure("did not begin to learn", log)


def _failure(what: str, log: Path) -> RuntimeError:
    return RuntimeError(f"the run {what}: {log.read_text(errors='replace')[-2000:]}")
