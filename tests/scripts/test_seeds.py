"""Several seeds by one command: each is the run that it would be by itself, and none is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import load_config
from scripts import cli
from scripts.seeds import SPENT_FILE
from tests.scripts.test_cli import TINY, refused, troupe


def updates(folder: Path) -> int | None:
    return CheckpointStore(folder / "checkpoints").latest()


def wait_for(seconds: float, *files: Path) -> None:
    deadline = time.monotonic() + seconds
    while not all(file.exists() and file.stat().st_size for file in files):
        assert time.monotonic() < deadline, f"{files} did not come"
        time.sleep(0.05)


def test_seeds_one_after_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, alone = tmp_path / "study", tmp_path / "alone"
    assert troupe("train", *TINY, "--seeds", "1-2", "--updates", 3, "--run-dir", study) == 0
    assert f"2 seeds are trained in {study}" in capsys.readouterr().out
    assert troupe("train", *TINY, "--seed", 2, "--updates", 3, "--run-dir", alone) == 0
    assert load_config(study / "seed-2") == load_config(alone)
    found, _ = CheckpointStore(study / "seed-2" / "checkpoints").load()
    expected, _ = CheckpointStore(alone / "checkpoints").load()
    for name, array in expected.items():
        assert np.array_equal(found[name], array), name

    # Those that are finished are left alone; one more is configured as they were.
    before = (study / "seed-1" / SPENT_FILE).read_text()
    again = ("train", "--resume", "--seeds", "1-3", "--updates", "3", "--run-dir", study)
    assert troupe(*again) == 0
    assert "2 of 3 seeds are finished already" in capsys.readouterr().err
    assert (study / "seed-1" / SPENT_FILE).read_text() == before
    third, second = load_config(study / "seed-3"), load_config(study / "seed-2")
    assert (third.seed, third.agent, third.games) == (3, second.agent, second.games)
    assert updates(study / "seed-3") == 3

    # A larger budget is one that nobody has had yet.
    assert troupe(*again[:-3], 5, "--run-dir", study) == 0
    assert [updates(study / f"seed-{seed}") for seed in (1, 2, 3)] == [5, 5, 5]

    said = refused(capsys, "train", *TINY, "--seeds", "2", "--updates", 9, "--run-dir", study)
    assert "seed-2 holds a run already: continue it with --resume" in said
    other = ("--agent.hidden", "8", "--seeds", "4", "--updates", "9", "--run-dir", study)
    assert "began with --agent.hidden 16, not 8" in refused(capsys, "train", *TINY, *other)
    assert not (study / "seed-4").exists()
    said = refused(capsys, "train", *TINY, "--seeds", "1", "--run-dir", alone)
    assert f"{alone} holds a run already" in said


def test_what_cannot_be_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ("train", *TINY, "--run-dir", tmp_path / "study")
    assert "either --seed" in refused(capsys, *run, "--seeds", "1-2", "--seed", "3")
    assert "--seeds must look like" in refused(capsys, *run, "--seeds", "some")
    assert "give --seeds as well" in refused(capsys, *run, "--at-once", "2")
    assert "at least 1, got 0" in refused(capsys, *run, "--seeds", "1", "--at-once", "0")
    assert not (tmp_path / "study").exists()


def test_an_interrupted_seed_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "study"
    options = (*TINY, "--seeds", "1-2", "--evaluate-interval", "5", "--run-dir", study)

    def interrupt() -> None:
        wait_for(60, study / "seed-1" / "metrics.jsonl")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert troupe("train", *options, "--updates", 10**6) == 0
    assert "interrupted: 0 of 2 seeds" in capsys.readouterr().out
    assert not (study / "seed-2").exists()
    assert json.loads((study / "seed-1" / SPENT_FILE).read_text())["minutes"] > 0
    began = updates(study / "seed-1")
    assert began is not None

    assert troupe("train", *options, "--resume", "--updates", began + 2) == 0
    assert [updates(study / f"seed-{seed}") for seed in (1, 2)] == [began + 2] * 2


@pytest.mark.chaos
def test_seeds_side_by_side_stop_and_go_on(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    study = tmp_path / "study"
    call = [sys.executable, "-m", "scripts.cli", "train", *TINY]
    call += ["--checkpoint-minutes", "0.02"]
    call += ["--seeds", "1-3", "--at-once", "2", "--run-dir", str(study)]
    process = subprocess.Popen(
        [*call, "--updates", "1000000"], cwd=Path(cli.__file__).parents[1], start_new_session=True
    )
    request.addfinalizer(process.kill)
    deadline = time.monotonic() + 90
    while not all(updates(study / f"seed-{seed}") for seed in (1, 2)):
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 2
    os.killpg(process.pid, signal.SIGINT)
    start = time.monotonic()
    assert process.wait(30) == 0
    assert time.monotonic() - start < 10  # 3 s on a quiet machine
    assert not [child for child in children if child.is_running()]
    reached = [updates(study / f"seed-{seed}") for seed in (1, 2)]
    assert all(reached)
    assert not (study / "seed-3").exists()

    most = max(filter(None, reached)) + 2  # and on, one after the other
    options = ("--seeds", "1-3", "--run-dir", study, "--checkpoint-minutes", "0.02")
    assert troupe("train", *TINY, *options, "--resume", "--updates", most) == 0
    assert [updates(study / f"seed-{seed}") for seed in (1, 2, 3)] == [most] * 3
