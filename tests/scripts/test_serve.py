"""``troupe serve``: the same moves as the agent itself, health, metrics, and a quick end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import games
from marl.acting.evaluate import evaluate
from marl.acting.table import admit
from marl.remote.policy import connect
from marl.runs.config import ActorConfig, TrainConfig
from marl.runs.roster import Member, export, load
from scripts import cli
from tests.marl.remote.test_remote_policy import new_agent
from tests.transport.test_launch import alive, until
from transport import sockets
from transport.client import ClientConfig
from transport.door import RefusedError
from transport.exporter import TARGETS
from transport.launch import PROCESSES

TROUPE = Path(sys.executable).with_name("troupe")
BUSY = 15.0
"""Seconds to end allowed beside other tests; the long form has the bound of a quiet machine."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """An exported agent of the smallest kind."""
    folder = tmp_path_factory.mktemp("agents") / "tiny"
    agent = new_agent(seed=4)
    config = TrainConfig(
        games=("hanabi:2@very-small",), agent=agent.config, actor=ActorConfig(num_games=2)
    )
    export(Member("tiny", folder, agent, config, updates=11), folder)
    return str(folder)


class Serving:
    """The command as a process."""

    def __init__(self, run_dir, *args):
        self.run_dir = run_dir
        # Somebody has packages of their own that are called like ours, where the command is given.
        for package in ("agents", "games"):
            (run_dir.parent / package).mkdir(parents=True, exist_ok=True)
            (run_dir.parent / package / "__init__.py").write_text("raise SystemExit('a decoy')")
        self.process = subprocess.Popen(
            [TROUPE, "serve", *map(str, args), "--run-dir", str(run_dir)],
            cwd=run_dir.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.said = ""
        self.hear("ready")

    def hear(self, word):
        """Reads on until a word is said."""
        while word not in self.said:
            line = self.process.stdout.readline()
            assert line, f"it ended: {self.said}"
            self.said += line

    def stop(self, number=signal.SIGINT):
        """Ends it; returns how long that took."""
        began = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(20)
        self.process.stdout.close()
        assert status == 0
        return time.monotonic() - began

    def pids(self):
        """Of its processes, by the names of their logs."""
        import psutil

        children = psutil.Process(self.process.pid).children()
        return [child.pid for child in children]


@pytest.fixture
def serve(tmp_path):
    started = []

    def start(*args):
        started.append(Serving(tmp_path / "pool", *args))
        return started[-1]

    yield start
    for serving in started:
        if serving.process.poll() is None:
            serving.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["tiny", "hanabi-2p"])
def test_a_served_agent_makes_the_moves_of_the_agent_itself(serve, name, request):
    agent = request.getfixturevalue("tiny") if name == "tiny" else name
    serving = serve(agent)
    assert re.search(r"is served at ipc://\S+ \(batch, 1 workers\)", serving.said)
    member = load(agent)

    (setting,) = member.config.settings()
    game = setting.batched(1)
    admit(member.policy, game)
    local = evaluate(member.policy, setting, 12, seed=5)
    with connect(serving.run_dir, config=ClientConfig(timeout=60)) as policy:
        policy.require(game.phrasebook)
        assert policy.about == {"agent": agent, "games": [setting.name]}
        remote = evaluate(policy, setting, 12, seed=5)
        assert policy.version == member.updates
    for name in ("score", "points", "lost"):
        np.testing.assert_array_equal(local.outcome(name), remote.outcome(name))
    np.testing.assert_array_equal(local.played.turns, remote.played.turns)
    pids = serving.pids()
    assert serving.stop() < BUSY
    assert not any(map(alive, pids))
    assert not sockets._ipc_path(serving.run_dir).exists()


@pytest.mark.timeout(300)
def test_schedules_metrics_and_keys(serve, tiny, tmp_path):
    """All options at once, over tcp: realtime, metrics, and who has no key stays outside."""
    keys = tmp_path / "keys"
    assert cli.main(["keys", str(keys), "alice"]) == 0
    serving = serve(
        tiny, "--schedule", "frame_clock", "--workers", 2, "--bind", "tcp", "--keys", keys,
        "--metrics-port", 0,
    )  # fmt: skip
    assert "tcp://127.0.0.1:" in serving.said
    with connect(serving.run_dir, keys=keys / "clients" / "alice.json") as policy:
        evaluate(policy, games.setting("hanabi:2@very-small"), 3, seed=0)
        # Workers start one by one, and the first can serve all three games alone.
        patience = time.monotonic() + 60
        while (stats := policy.client.stats())["workers"] < 2 and time.monotonic() < patience:
            time.sleep(0.1)
    assert stats["workers"] == 2
    assert stats["workers_healthy"] >= 1
    assert stats["requests_reply"] > 0
    assert stats["ledger_balance"] == 0

    (target,) = json.loads((serving.run_dir / TARGETS / "broker.json").read_text())

    def page():
        with urllib.request.urlopen(f"http://{target['targets'][0]}/metrics", timeout=10) as answer:
            return answer.read().decode()

    two = r'^troupe_pool{.*role="broker",what="workers"} 2.0$'
    until(lambda: re.search(two, page(), re.MULTILINE))  # It is taken with every heartbeat.
    with pytest.raises(RefusedError, match="the server wants a key"):
        connect(serving.run_dir)
    assert serving.stop(signal.SIGTERM) < BUSY


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_a_pool_that_has_no_worker_says_so_and_comes_back(serve, tiny):
    serving = serve(tiny, "--health", "1")
    workers = [pid for pid in serving.pids() if b"transport.child" in cmdline(pid)]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    serving.hear("not healthy: no inference was answered in 1 s")
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    serving.said = ""
    serving.hear("ready")


@pytest.mark.chaos
def test_what_was_started_again_is_said_and_a_second_pool_refused(serve, tiny, capsys):
    serving = serve(tiny)
    assert cli.main(["serve", tiny, "--run-dir", str(serving.run_dir)]) == 2
    assert "another run lives in" in capsys.readouterr().err
    os.kill(json.loads((serving.run_dir / PROCESSES).read_text())["worker"], signal.SIGKILL)
    serving.hear("worker ended by signal SIGKILL and was started again (restarts of worker: 1)")


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_signal_ends_a_pool_in_three_seconds_every_time(serve, tiny):
    for attempt in range(10):
        assert serve(tiny).stop((signal.SIGINT, signal.SIGTERM)[attempt % 2]) < 3


def cmdline(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_what_cannot_be_served_is_said_at_once(tiny, tmp_path, capsys):
    for args, said in (
        (["nobody"], "there is no agent 'nobody'"),
        ([tiny, "--bind", "tcp://0.0.0.0:5555"], "needs keys"),
        ([tiny, "--bind", "here"], "'here' is not an address"),
        ([tiny, "--workers", "0"], "--workers must be at least 1, got 0"),
        ([tiny, "--health", "0"], "--health must be a positive number"),
        ([tiny, "--schedule", "best"], "invalid choice 'best'"),
        ([tiny, "--keys", str(tmp_path / "none")], "make them with `troupe keys`"),
    ):
        assert cli.main(["serve", *args, "--run-dir", str(tmp_path / "pool")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
        assert not (tmp_path / "pool").exists()
