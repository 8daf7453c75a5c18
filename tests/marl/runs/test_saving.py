"""What a run leaves on disk, and what it goes on from or begins with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from marl.runs.checkpoint import CheckpointStore
from marl.runs.saving import restore
from marl.runs.serial import SerialRun
from marl.runs.train import train
from tests.marl.small_runs import CONFIG


@pytest.mark.parametrize("lost", [False, True])
def test_replay_can_be_saved_less_often(tmp_path: Path, lost: bool) -> None:
    """Checkpoints are small then, and a run goes on with the replay of before, or fills it anew."""
    small = replace(CONFIG, checkpoint_minutes=1e-9, replay_minutes=1e6, keep_checkpoints=1)
    folder = tmp_path / "run"
    train(small, folder, updates=3)  # it began with a checkpoint, replay and all
    first = CheckpointStore(folder / "replay").latest()
    done = train(small, folder, updates=6, resume=True)
    store = CheckpointStore(folder / "checkpoints")
    assert store.latest() == 6
    assert first is not None
    assert first < 3, "replay was saved with every checkpoint"
    tensors, _ = store.load()
    assert not any(path.startswith("replay/") for path in tensors)
    assert len(list((folder / "replay").iterdir())) == 1
    if lost:
        shutil.rmtree(folder / "replay")
    again = SerialRun(small)
    assert restore(again, store) == 6
    assert (len(again.replay) == 0) == lost
    for name, tensor in done.learner.agent.state_dict().items():
        assert torch.equal(tensor, again.learner.agent.state_dict()[name])
    moves = again.env_steps
    while again.learner.updates < 8:
        again.step()
    if lost:
        assert len(again.replay) >= small.warm_up
        assert again.env_steps > moves


def test_a_run_starts_from_the_weights_of_another(tmp_path: Path) -> None:
    config = replace(CONFIG, actor=replace(CONFIG.actor, other_play=False))
    first = train(config, tmp_path / "first", updates=3)
    theirs = first.learner.averaged().state_dict()
    follows = replace(config, seed=2, start=str(tmp_path / "first"))
    run = SerialRun(follows)
    store = CheckpointStore(tmp_path / "nowhere")
    assert any((theirs[k] != v).any() for k, v in run.agent.state_dict().items())
    assert restore(run, store) == 0
    for agent in (run.agent, run.player, run.learner.target, run.learner.averaged()):
        assert all((theirs[k] == v).all() for k, v in agent.state_dict().items())
    assert run.evaluate(20)[0].mean() == first.evaluate(20)[0].mean()

    train(follows, tmp_path / "second", updates=2)
    shutil.rmtree(tmp_path / "first")  # By now it goes by its own checkpoint.
    assert train(follows, tmp_path / "second", updates=4, resume=True).learner.updates == 4


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("nobody", "there is no agent 'nobody'"),
        ("bot:iggi", "bot:iggi plays by rules"),
        ("hanabi", "to start from it, give --agent.text-hidden 128 --agent.hidden 128 "),
    ],
)
def test_a_start_that_cannot_be_is_refused(tmp_path: Path, start: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        train(replace(CONFIG, start=start), tmp_path / "run", updates=1)
    assert not (tmp_path / "run").exists()


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save, tries = CheckpointStore.save, []

    def full_at_first(store: CheckpointStore, step: int, *state: Any) -> Path:
        tries.append(step)
        if len(tries) < 3:
            raise OSError(28, "No space left on device", str(store.folder))
        return save(store, step, *state)

    monkeypatch.setattr(CheckpointStore, "save", full_at_first)
    config = replace(CONFIG, checkpoint_minutes=1e-9)
    train(config, tmp_path / "a", updates=3)
    assert CheckpointStore(tmp_path / "a" / "checkpoints").latest() == tries[-1] >= 3
    said = capsys.readouterr().err
    assert said.count("could not be saved (No space left on device); the run goes on") == 2

    tries.clear()
    with pytest.raises(OSError, match="No space left") as error:
        train(CONFIG, tmp_path / "b", updates=1)
    assert error.value.filename == str(tmp_path / "b" / "checkpoints")
