"""Runs with several learners: one leads, the others help, any of them may be killed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from marl.remote.driver import progress, train_distributed
from marl.remote.helper import free_address, torchrun, was_restarted
from scripts import cli
from tests.marl.remote.test_remote_run import CONFIG, Driver, metrics
from tests.transport.test_launch import until


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_helper_may_be_killed_and_all_go_on_from_the_last_checkpoint(tmp_path):
    driver = Driver(tmp_path / "run", shards=1, workers=1, learners=2)
    try:
        helper, learner = driver.pids()["helper"], driver.pids()["learner"]
        driver.kill("helper")
        # The step that one of them leaves is nobody's: both begin anew.
        until(lambda: driver.pids().get("helper") not in (None, helper), 120)
        until(lambda: driver.pids().get("learner") not in (None, learner), 120)
        driver.go_on(20)
        assert driver.end() < 10
    finally:
        driver.process.kill()
        driver.process.wait()
    entry = metrics(driver.run_dir)[-1]
    assert entry["ledger/lost"] == entry["ledger/balance"] == 0
    # Ctrl-C is nobody's loss: rank 0 has saved, and then told the helper.
    assert (tmp_path / "driver.log").read_text().count("another learner has gone") <= 1
    assert progress(driver.run_dir).updates == entry["step"]


TINY = (
    *("--agent.hidden", "16", "--agent.memory", "16", "--agent.text-hidden", "32"),
    *(
        "--actor.num-games",
        "16",
        "--replay.capacity",
        "4000",
        "--replay.capacity-bytes",
        "16777216",
    ),
    *("--learner.batch", "8", "--warm-up", "20", "--evaluate-games", "4"),
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_torchrun_starts_learners_as_well(tmp_path):
    """Rank 0 is the run's driver, whose learner they join; all end when it is done."""
    path = os.pathsep.join(filter(None, sys.path))
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--master-port", str(free_address().rpartition(":")[2]), "-m", "scripts.cli"),
        *("train", "hanabi:2@small", "--workers", "1", "--replay-shards", "1", "--updates", "20"),
        *("--run-dir", tmp_path / "run", *TINY),
    ]
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, "PYTHONPATH": path},
        timeout=800,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert progress(tmp_path / "run").updates == 20
    assert "20 updates" in done.stdout
    entry = metrics(tmp_path / "run")[-1]
    assert entry["ledger/lost"] == entry["ledger/balance"] == 0
    assert not list((tmp_path / "run" / "logs").glob("helper*"))  # They are torchrun's.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learners": 0}, "learners must be at least 1, got 0"),
        ({"learners": 2}, "give --replay-shards"),
        ({"learners": 3, "shards": 1}, "batch=8 cannot be shared by 3 learners"),
        ({"shards": -1}, "shards must be at least 0, got -1"),
    ],
)
def test_what_cannot_learn_together_is_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        train_distributed(CONFIG, tmp_path / "run", workers=1, updates=1, **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--learners", "2"), "give --replay-shards"),
        (("--learners", "0"), "--learners must be at least 1, got 0"),
        (("--replay-shards", "-1"), "--replay-shards cannot be negative, got -1"),
        (("--replay-shards", "1", "--workers", "0"), "--replay-shards are processes of a run"),
    ],
)
def test_bad_options_are_refused_in_a_line(tmp_path, capsys, options, words):
    common = ["train", "hanabi", "--run-dir", str(tmp_path / "run"), "--updates", "1"]
    assert cli.main([*common, "--workers", "1", *options]) == 2
    assert words in capsys.readouterr().err


def test_torchrun_says_who_is_who(monkeypatch):
    assert torchrun() == (0, 1)
    assert not was_restarted()
    for name, value in {"RANK": 1, "WORLD_SIZE": 2, "TORCHELASTIC_RESTART_COUNT": 1}.items():
        monkeypatch.setenv(name, str(value))
    assert torchrun() == (1, 2)
    assert was_restarted()
