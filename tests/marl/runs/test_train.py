"""Whole runs from the first call to the last, also after being killed.

Run as a script this file trains in processes of its own, which it kills or interrupts: it has one
thread, so that it can fork.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from marl.runs import serial
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import CONFIG_FILE, TrainConfig, load_config, to_dict
from marl.runs.curve import CURVE_FILE
from marl.runs.train import train
from tests.marl.small_runs import CONFIG, assert_same
from transport.claim import Claim

UPDATES, KILLS = 50, 3
SOON = 10.0
"""Seconds in which an interrupted run ends beside other tests; three, on a quiet machine."""


def test_a_run_learns_evaluates_and_reports(tmp_path: Path) -> None:
    serial = train(replace(CONFIG, evaluate_interval=5), tmp_path, updates=12)
    assert serial.learner.updates >= 12
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    scored = [line["step"] for line in lines if "evaluate/hanabi-3/score" in line]
    assert (scored[0], scored[-1]) == (0, serial.learner.updates), "at the start and at the end"
    assert 5 in scored
    assert len(scored) == len(set(scored))
    assert (tmp_path / CURVE_FILE).exists()
    names = {name for line in lines for name in line}
    for players in (3, 4):
        curves = {f"evaluate/hanabi-{players}/{name}" for name in ("score", "points", "lost")}
        assert curves <= names
    assert {"learn/loss", "learn/td_error", "learn/q", "learn/gradient_norm"} <= names
    assert {"learn/staleness", "replay/samples_per_insert", "act/env_steps"} <= names
    assert load_config(tmp_path) == replace(CONFIG, evaluate_interval=5)
    assert CheckpointStore(tmp_path / "checkpoints").latest() == serial.learner.updates


def test_a_teacher_that_cannot_play_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no bot 'plumber'"):
        train(replace(CONFIG, imitate="bot:plumber"), tmp_path / "a", updates=1)
    assert not (tmp_path / "a").exists()


def test_run_directories_are_not_mixed_up(tmp_path: Path) -> None:
    config = replace(CONFIG, games=("hanabi:3",))
    with pytest.raises(ValueError, match="needs a budget"):
        train(config, tmp_path / "a")
    with pytest.raises(ValueError, match=r"holds no run: it has no config\.json"):
        train(config, tmp_path / "a", updates=1, resume=True)
    with pytest.raises(ValueError, match="holds no run"):
        load_config(tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(ValueError, match="ranks must be a whole number from 1 to 5, got 6"):
        train(replace(config, games=("hanabi:3@ranks=6",)), tmp_path / "a", updates=1)
    assert not (tmp_path / "a").exists(), "a run that cannot begin leaves nothing behind"
    train(config, tmp_path / "a", updates=1)
    with pytest.raises(ValueError, match="holds a run already: continue it with --resume"):
        train(config, tmp_path / "a", updates=1)
    with pytest.raises(ValueError, match="another configuration"):
        train(replace(config, seed=5), tmp_path / "a", updates=1, resume=True)
    (tmp_path / "a" / CONFIG_FILE).write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"^[^\n]*$"):
        load_config(tmp_path / "a")


def test_nobody_waits_for_an_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the end of the time nor Ctrl-C; whole, it would take minutes."""
    long = replace(CONFIG, evaluate_games=100_000)
    evaluate, begun = serial.evaluate, list[float]()

    def noted(*args: Any, **options: Any) -> Any:
        begun.append(time.monotonic())
        if interrupt:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        return evaluate(*args, **options)

    monkeypatch.setattr(serial, "evaluate", noted)
    interrupt = False
    start = time.monotonic()
    assert train(long, tmp_path / "a", minutes=0.02).learner.updates == 0
    assert time.monotonic() - max(start + 1.2, begun[0]) < SOON
    assert len(begun) == 1
    assert CheckpointStore(tmp_path / "a" / "checkpoints").latest() == 0
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("the evaluation of update 0 was not played to its end") == 1
    assert "interrupted" not in said

    # Between two updates, and when all updates are made.
    train(CONFIG, tmp_path / "b", updates=1)
    for interval in (5, 100):
        config = replace(long, evaluate_interval=interval)
        (tmp_path / "b" / CONFIG_FILE).write_text(json.dumps(to_dict(config)))
        begun.clear()
        interrupt = True
        done = train(config, tmp_path / "b", updates=9, resume=True).learner.updates
        assert time.monotonic() - begun[0] < SOON
        assert len(begun) == 1
        assert (done < 9) == (interval == 5)
        assert CheckpointStore(tmp_path / "b" / "checkpoints").latest() == done
        said = " ".join(capsys.readouterr().err.split())
        assert f"the evaluation of update {done} was not played to its end" in said
        assert "interrupted; go on with --resume" in said
        last = json.loads((tmp_path / "b" / "metrics.jsonl").read_text().splitlines()[-1])
        assert last["step"] == done
        assert "learn/loss" in last, "what was known is logged"


@pytest.mark.chaos
def test_a_run_that_is_killed_again_and_again_ends_the_same(tmp_path: Path) -> None:
    """SIGKILL at random moments; afterwards every tensor is that of the run nobody touched."""
    report = script("kill", tmp_path)
    assert len(report["killed_at"]) == KILLS
    assert any(0 < step < UPDATES for step in report["killed_at"])
    whole, patched = (CheckpointStore(tmp_path / name / "checkpoints") for name in ("a", "b"))
    assert whole.latest() == patched.latest() >= UPDATES
    assert_same(whole.load(), patched.load())
    # The curve has every point once, too.
    lines = (tmp_path / "b" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == sorted(steps)


@pytest.mark.chaos
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_saves_and_ends_soon(tmp_path: Path, name: str) -> None:
    report = script("interrupt", tmp_path, name)
    assert report["status"] == 0
    assert report["busy_seconds"] < 3
    assert report["step"] > 0
    assert report["saved"] >= report["step"], "what it knew when it was interrupted is kept"
    config = load_config(tmp_path)
    before = report["saved"]
    again = train(config, tmp_path, updates=before + 3, resume=True)
    assert again.learner.updates >= before + 3


def test_two_runs_in_a_folder_are_one_too_many(tmp_path: Path) -> None:
    train(CONFIG, tmp_path, updates=1)
    with Claim(tmp_path), pytest.raises(ValueError, match="another run lives in"):
        train(CONFIG, tmp_path, updates=2, resume=True)
    with Claim(tmp_path / "new"), pytest.raises(ValueError, match="another run lives in"):
        train(CONFIG, tmp_path / "new", updates=2)
    assert train(CONFIG, tmp_path, updates=2, resume=True).learner.updates >= 2


def test_what_a_resume_drops_is_said_and_what_is_done_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = train(CONFIG, tmp_path, updates=3).learner.updates
    folder = tmp_path / "checkpoints"
    before = sorted(folder.iterdir())
    lines = (tmp_path / "metrics.jsonl").read_text()
    capsys.readouterr()
    train(CONFIG, tmp_path, updates=2, resume=True)
    said = capsys.readouterr().err
    assert f"goes on from update {done}\n" in said
    assert f"it has {done} updates already: nothing is left to do" in said
    assert sorted(folder.iterdir()) == before
    assert (tmp_path / "metrics.jsonl").read_text() == lines

    shutil.rmtree(folder)  # As if it had been killed before its first checkpoint.
    train(CONFIG, tmp_path, updates=1, resume=True)
    said = capsys.readouterr().err
    assert "no update was saved before this run ended: it begins again at update 0" in said
    assert f"its curves are cut there, they had reached update {done}" in said


def script(*args: object) -> Any:
    """What this file prints as a script."""
    root = Path(__file__).parents[3]
    output = subprocess.run(
        [sys.executable, "-m", "tests.marl.runs.test_train", *map(str, args)],
        cwd=root, stdout=subprocess.PIPE, check=True,
    ).stdout  # fmt: skip
    return json.loads(output)


def child(folder: Path, config: TrainConfig, updates: int) -> int:
    """Trains in a process of its own, from where the run stands."""
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        train(config, folder, updates=updates, resume=(folder / CONFIG_FILE).exists())
        os._exit(0)
    return pid


def saves(store: CheckpointStore) -> int:
    """How many checkpoints there have been."""
    return max((int(p.name.split("-")[0]) for p in store.folder.glob("*-step-*")), default=0)


def wait_for(store: CheckpointStore, count: int, pid: int) -> None:
    """Until there have been so many checkpoints; fails if the process ends before."""
    while saves(store) < count:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise SystemExit(f"training ended after {saves(store)} checkpoints, before {count}")
        time.sleep(0.002)


def kill(folder: Path) -> dict[str, Any]:
    """One run in peace, and one that saves all the time and is killed all the time."""
    os.waitpid(child(folder / "a", CONFIG, UPDATES), 0)
    config = replace(CONFIG, checkpoint_minutes=1e-9)
    store = CheckpointStore(folder / "b" / "checkpoints")
    dice, killed_at = random.Random(3), []
    for _ in range(KILLS):
        pid = child(folder / "b", config, UPDATES)
        wait_for(store, saves(store) + dice.randint(18, 36), pid)
        time.sleep(dice.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        killed_at.append(store.latest())
    os.waitpid(child(folder / "b", config, UPDATES), 0)
    return {"killed_at": killed_at}


def interrupt(folder: Path, name: str) -> dict[str, Any]:
    """A run without end that is interrupted once it learns."""
    store = CheckpointStore(folder / "checkpoints")
    pid = child(folder, replace(CONFIG, checkpoint_minutes=1e-9), 5000)
    while not store.latest():
        wait_for(store, saves(store) + 1, pid)
    step, process = store.latest(), psutil.Process(pid)
    before = sum(process.cpu_times()[:2])
    os.kill(pid, getattr(signal, name))
    _, status, usage = os.wait4(pid, 0)
    # Processor time: another job on this machine must not fail this test.
    busy = usage.ru_utime + usage.ru_stime - before
    return {"status": status, "busy_seconds": busy, "step": step, "saved": store.latest()}


if __name__ == "__main__":
    from rich.console import Console  # noqa: F401

    if sys.argv[1] == "kill":
        print(json.dumps(kill(Path(sys.argv[2]))))
    else:
        print(json.dumps(interrupt(Path(sys.argv[2]), sys.argv[3])))
