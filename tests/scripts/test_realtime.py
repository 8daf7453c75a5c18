"""``troupe play --schedule``: an agent plays worlds that do not wait, through processes."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from games.world import World
from marl.remote.policy import connect
from marl.remote.realtime import play_in_real_time
from scripts.bench.realtime import SIZES, make_agent
from scripts.cli import main
from scripts.realtime import find_setting, pool_roles, serve_agent, tend, wait_for_pool
from tests.scripts.test_serve import Serving
from transport.client import ClientConfig
from transport.endpoints import find_endpoint
from transport.launch import Supervisor
from transport.schemes import find_scheme

PARCELS = "parcels@pace=4@every=2@parcels=2"


@pytest.mark.timeout(120)
def test_two_linked_consoles_are_played_in_real_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "out.json"
    call = ["play", PARCELS, "--schedule", "frame_clock", "--workers", "2", "--seed", "3"]
    call += ["--seconds", "2", "--json", str(file), "--choices", str(tmp_path / "choices.csv")]
    assert main(call) == 0
    assert "bot:sorter, frame_clock, 2 workers: " in capsys.readouterr().out
    report = json.loads(file.read_text())
    assert report["setting"] == "parcels@every=2@pace=4@parcels=2@told=64"
    figures = report["figures"]
    assert figures["frames"] == pytest.approx(2 * 59.7275, abs=20)
    assert figures["frame_coverage"] > 0.5  # of a machine that does other things as well
    assert figures["games"] >= 1
    assert max(figures["scores"]) == 4
    assert figures["age_frames"] >= 2
    with (tmp_path / "choices.csv").open(newline="") as lines:
        choices = [*csv.DictReader(lines)]
    assert {row["seat"] for row in choices} == {"0", "1"}
    acted = [row for row in choices if row["applied"] != "-1"]
    assert len(acted) > 10  # of 128: a busy machine misses many while it starts
    for row in acted:
        assert int(row["applied"]) - int(row["saw"]) == int(row["age"]) >= 2
        assert row["version"] == "0"
        assert row["done"] in (row["chosen"], "I wait")


@pytest.mark.timeout(120)
def test_a_pool_that_is_served_elsewhere_plays_tracking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serving = Serving(tmp_path / "pool", "bot:tracker", "--schedule", "frame_clock")
    try:
        file = tmp_path / "out.json"
        call = ["play", "tracking@frames=60@noise=0", "--schedule", "frame_clock"]
        call += ["--pool", str(tmp_path / "pool"), "--seconds", "2", "--json", str(file)]
        assert main(call) == 0
        figures = json.loads(file.read_text())["figures"]
        assert figures["frames_of_a_turn"] == 1
        assert max(figures["scores"]) > 20
        assert "bot:tracker" in capsys.readouterr().out
    finally:
        serving.stop()


@pytest.mark.chaos
@pytest.mark.timeout(120)
def test_a_worker_and_then_the_broker_are_killed_and_play_goes_on(tmp_path: Path) -> None:
    """Half a second after the new broker is there, and when a worker dies, play is as before."""
    world = World(find_setting("parcels@pace=4@every=2").batched(1, 1))
    scheme, fresh, marks = find_scheme("frame_clock"), [], {}
    roles = pool_roles(scheme.schedule, 2, serve_agent("bot:sorter", 2))
    with Supervisor(tmp_path, roles) as crew:
        wait_for_pool(tmp_path, 2, crew, lambda: False)
        before = 0

        def bound() -> int | None:
            file = Path(find_endpoint(tmp_path, "pool").removeprefix("ipc://"))
            return file.stat().st_ctime_ns if file.exists() else None

        def on_turn(turn: int) -> None:
            nonlocal before
            tend(crew, silent=True)
            fresh.append(world.counts["played"] > before)
            before = world.counts["played"]
            if turn == 60:
                os.kill(next(iter(crew.pids("worker").values())), signal.SIGKILL)
            elif turn == 120:
                marks["old"] = bound()
                os.kill(crew.pids()["broker"], signal.SIGKILL)
            elif turn > 120 and "new" not in marks and bound() not in (None, marks["old"]):
                marks["new"] = turn

        def over() -> bool:
            return "new" in marks and len(fresh) > marks["new"] + 75

        with connect(tmp_path, config=ClientConfig(patience=1.0)) as policy:
            played = play_in_real_time(
                world, policy.client, policy, scheme, stop=over, on_turn=on_turn
            )
            assert policy.client.balance() == 0
    usual = np.mean(fresh[32:60])
    assert np.mean(fresh[60:90]) > usual - 0.3  # a second with one worker
    assert np.mean(fresh[marks["new"] + 15 :]) > usual - 0.2
    assert played.freshness.counts["lost"] > 0
    assert world.counts["stale"] < 10


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["parcels", "--workers", "2"], "--workers goes with --schedule"),
        (["parcels", "--json", "x"], "--json goes with --schedule"),
        (["parcels", "--told", "nothing"], "--told goes with --schedule"),
        (["parcels", "--schedule", "frame_clock", "--workers", "0"], "at least 1, got 0"),
        (["parcels", "--schedule", "frame_clock", "--seconds", "0"], "--seconds must be"),
        (["parcels", "--schedule", "sequential", "--workers", "2"], "has one worker"),
        (["parcels", "--schedule", "frame_clock", "--seed", "-1"], "--seed cannot be negative"),
        (["parcels", "--schedule", "frame_clock", "--with", "bot:smart"], "cannot play parcels"),
        (["escape-room:2", "--schedule", "frame_clock"], "cannot be played in real time"),
        (["blocks@choose=placements", "--schedule", "frame_clock"], "in real time"),
        (["gameboy", "--schedule", "frame_clock"], "rom"),
        (["hanabi:2-3", "--schedule", "frame_clock"], "means 2 settings"),
        (["parcels", "--schedule", "frame_clock", "--with", "a", "--with", "b"], "all seats"),
    ],
)
def test_what_cannot_be_is_refused(
    args: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["play", *args]) == 2
    assert why in capsys.readouterr().err


def test_networks_have_the_sizes_that_they_are_named_by() -> None:
    game = find_setting("parcels").batched(1)
    for size, least in (("55 K", 55e3), ("1 M", 1e6), ("5 M", 5e6), ("10 M", 10e6)):
        parameters = sum(p.numel() for p in make_agent(game, size).parameters())
        assert parameters == pytest.approx(least, rel=0.05)
    assert len(SIZES) == 4
