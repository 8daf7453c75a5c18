"""Whole runs: the same bits every time, also after being killed.

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

import numpy as np
import psutil
import pytest
import torch

from agents.r3d2.config import R3D2Config
from marl.learning.config import LearnerConfig
from marl.learning.imitation import ImitationConfig
from marl.replay.prioritised import ReplayConfig
from marl.runs import serial
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import ActorConfig, TrainConfig, to_dict
from marl.runs.curve import CURVE_FILE
from marl.runs.serial import CONFIG_FILE, SerialRun, load_config, restore, train
from marl.runs.state import flatten, unflatten
from transport.claim import Claim

# Everything that has a state takes part: two settings, renamed colours, answer sheets of two sizes,
# cut sequences, evictions, and intervals that do not divide each other.
CONFIG = TrainConfig(
    games=("hanabi:3-4",),
    warm_up=12,
    samples_per_insert=6.0,
    evaluate_interval=7,
    evaluate_games=3,
    agent=R3D2Config(hidden=32, memory=32, text_hidden=32, own_hand=True),
    actor=ActorConfig(num_games=8, epsilon=0.5, other_play=True),
    replay=ReplayConfig(capacity=40, capacity_bytes=1 << 19, max_length=8, balanced=True),
    learner=LearnerConfig(
        batch=8, burn_in=2, refresh_interval=3, target_interval=5, publish_interval=4
    ),
)
UPDATES, KILLS = 50, 3
SOON = 10.0
"""Seconds in which an interrupted run ends beside other tests; three, on a quiet machine."""

# A teacher, then both, then self-play alone; and whole episodes, of both settings.
IMITATION = replace(
    CONFIG,
    imitate="bot:iggi",
    imitation=ImitationConfig(updates=4, anneal=6, epsilon=0.1),
)
VDN = replace(
    CONFIG,
    games=("hanabi:3-4@small",),
    replay=replace(CONFIG.replay, max_length=32),
    learner=replace(CONFIG.learner, mixing="vdn"),
)
CONFIGS = pytest.mark.parametrize(
    "config", [CONFIG, IMITATION, VDN], ids=["iql", "imitation", "vdn"]
)


def assert_same(one: tuple[Any, Any], two: tuple[Any, Any]) -> None:
    """Two flat states, bit for bit."""
    assert one[1] == two[1]
    assert one[0].keys() == two[0].keys()
    for path, tensor in one[0].items():
        ours, theirs = np.asarray(tensor), np.asarray(two[0][path])
        assert ours.dtype == theirs.dtype, path
        assert ours.shape == theirs.shape, path
        assert ours.tobytes() == theirs.tobytes(), path


def run(config: TrainConfig, updates: int) -> tuple[SerialRun, list[dict[str, float]]]:
    """A run in this process, without files."""
    serial, metrics = SerialRun(config), []
    original = serial.learner.update

    def update(meanwhile: object = None) -> dict[str, float]:
        metrics.append(original(meanwhile))
        return metrics[-1]

    serial.learner.update = update  # type: ignore[method-assign]
    while serial.learner.updates < updates:
        serial.step()
    return serial, metrics


@CONFIGS
def test_the_same_seed_gives_the_same_bits(config: TrainConfig) -> None:
    """Weights, replay, games, generators, and every metric of every update."""
    (one, ours), (two, theirs) = run(config, 25), run(config, 25)
    assert ours == theirs
    assert one.replay.evicted > 0
    assert any(metrics["steps"] != ours[0]["steps"] for metrics in ours)
    assert_same(flatten(one.state()), flatten(two.state()))
    other, _ = run(replace(config, seed=2), 1)
    for name in ("replay/tail", "actors/0/table/game/deck", "learner/agent/network.query.weight"):
        assert not np.array_equal(flatten(one.state())[0][name], flatten(other.state())[0][name])


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


def test_watching_changes_nothing() -> None:
    """Evaluations and metrics come when the clock says; what is learned does not depend on them."""
    (one, _), two = run(CONFIG, 12), SerialRun(CONFIG)
    while two.learner.updates < 12:
        before = two.learner.updates
        two.step()
        if two.learner.updates > before:
            two.evaluation_metrics()
            two.state()
    assert_same(flatten(one.state()), flatten(two.state()))


def test_settings_are_balanced_by_their_moves() -> None:
    config = replace(
        CONFIG,
        games=("hanabi:2-5",),
        warm_up=10**6,
        actor=ActorConfig(num_games=18),
    )
    serial = SerialRun(config)
    assert [actor.game.num_players for actor in serial.actors] == [2, 3, 4, 5]
    assert [actor.game.num_games for actor in serial.actors] == [4, 4, 4, 4]
    assert [actor.setting for actor in serial.actors] == [0, 1, 2, 3]
    for _ in range(300):
        serial.step()
        moves = [actor.env_steps for actor in serial.actors]
        assert max(moves) - min(moves) <= 4
    assert serial.env_steps == 1200
    settings = serial.replay.counts
    assert (settings[:, 0] > 0).all(), "every setting is in replay"


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


@CONFIGS
def test_a_resumed_run_goes_on_bit_for_bit(tmp_path: Path, config: TrainConfig) -> None:
    """Within one process, saved in the warm-up as well as later."""
    one, ours = run(config, 15)
    begin = SerialRun(config)
    for _ in range(7):
        begin.step()
    assert begin.learner.updates == 0
    store = CheckpointStore(tmp_path)
    store.save(0, *flatten(begin.state()))
    theirs: list[dict[str, float]] = []
    while len(theirs) < 15:
        two = SerialRun(config)
        two.load_state(unflatten(*store.load()))
        original = two.learner.update
        two.learner.update = lambda m, u=original: theirs.append(u(m)) or theirs[-1]  # type: ignore
        for _ in range(12):
            if two.learner.updates < 15:
                two.step()
        store.save(two.learner.updates, *flatten(two.state()))
    assert theirs == ours
    assert_same(flatten(one.state()), store.load())


def test_the_teacher_plays_first_then_both_then_the_agent() -> None:
    serial = SerialRun(IMITATION)
    moves: list[tuple[int, int]] = []
    while serial.learner.updates < 12:
        before = [sum(a.env_steps for a in them) for them in (serial.teachers, serial.actors)]
        done = serial.learner.updates
        serial.step()
        after = [sum(a.env_steps for a in them) for them in (serial.teachers, serial.actors)]
        if after != before:
            moves.append((done, int(after[1] > before[1])))
    phases = {(0, 4): [], (4, 10): [], (10, 12): []}
    for (first, last), by_agent in phases.items():
        by_agent += [agent for updates, agent in moves if first <= updates < last]
    assert set(phases[0, 4]) == {0}
    assert set(phases[4, 10]) == {0, 1}
    assert set(phases[10, 12]) == {1}
    steps = [actor.env_steps for actor in serial.teachers]
    assert max(steps) - min(steps) <= 4, "balanced by moves"
    metrics = serial.learning_metrics()
    assert metrics["act/taught_steps"] == sum(steps)
    assert metrics["act/env_steps"] == sum(steps) + sum(a.env_steps for a in serial.actors)
    assert 0 < metrics["learn/imitation_weight"] < 10
    assert metrics["learn/imitation_loss"] > 0
    # What the teacher did is told from what the agent did.
    sample = serial.replay.sample(200).episodes
    taught = sample.taught[np.cumsum(sample.lengths) - 1] >= 0
    assert taught.any()
    assert not taught.all()


def test_vdn_needs_whole_episodes() -> None:
    with pytest.raises(ValueError, match=r"raise replay\.max_length from 8"):
        SerialRun(replace(CONFIG, learner=replace(CONFIG.learner, mixing="vdn")))
    with pytest.raises(ValueError, match=r"learner\.mixing must be one of iql, vdn, got 'qmix'"):
        LearnerConfig(mixing="qmix")  # type: ignore[arg-type]


def test_a_teacher_that_cannot_play_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no bot 'plumber'"):
        train(replace(CONFIG, imitate="bot:plumber"), tmp_path / "a", updates=1)
    assert not (tmp_path / "a").exists()


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


def script(*args: object) -> Any:
    """What this file prints as a script."""
    root = Path(__file__).parents[3]
    output = subprocess.run(
        [sys.executable, "-m", "tests.marl.runs.test_serial", *map(str, args)],
        cwd=root, stdout=subprocess.PIPE, check=True,
    ).stdout  # fmt: skip
    return json.loads(output)


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
    import torch.utils.tensorboard
    from rich.console import Console  # noqa: F401

    if sys.argv[1] == "kill":
        print(json.dumps(kill(Path(sys.argv[2]))))
    else:
        print(json.dumps(interrupt(Path(sys.argv[2]), sys.argv[3])))
