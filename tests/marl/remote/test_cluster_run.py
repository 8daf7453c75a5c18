"""Runs that Ray places: over several nodes of this machine, one of which is killed.

They need Ray (``make test-cluster`` installs it) and are skipped without.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from marl.remote.crew import Counts, crew, open_binding
from marl.remote.driver import train_distributed
from scripts import cli
from tests.marl.remote.test_remote_run import CONFIG, Driver, books, metrics
from tests.transport.parts import until
from tests.transport.test_launch import alive
from transport.keys import load_client_keys

PATIENCE = 5.0
"""Seconds that a run has to end."""

WITHOUT = "there is no Ray here: make test-cluster installs it"
"""Why a test is skipped."""

PATIENT = {
    "RAY_raylet_start_wait_time_s": "600",
    "RAY_gcs_server_request_timeout_seconds": "600",
    "RAY_gcs_rpc_server_connect_timeout_s": "120",
}
"""Ray's own patience, on a machine that is busy with other tests."""

NODES = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=3) for _ in range(2)]  # One of them is enough.
print("address", cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("removed", flush=True)
cluster.shutdown()
"""


class Nodes:
    """A Ray cluster of three nodes, all of this machine, in a process of its own."""

    def __init__(self, log):
        self.process = subprocess.Popen(
            [sys.executable, "-c", NODES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.fileno(),
            text=True,
            env={**os.environ, **PATIENT},
        )
        self.address = self.said("address")

    def said(self, word):
        for line in self.process.stdout:
            if line.startswith(word):
                return line.removeprefix(word).strip()
        raise AssertionError("the cluster has ended")

    def remove(self):
        """Ends a node, without a word."""
        self.process.stdin.write("remove\n")
        self.process.stdin.flush()
        self.said("removed")

    def close(self):
        self.process.stdin.close()
        self.process.wait(120)


@pytest.fixture
def nodes(tmp_path):
    pytest.importorskip("ray", reason=WITHOUT)
    with (tmp_path / "nodes.log").open("ab") as log:
        cluster = Nodes(log)
        yield cluster
        cluster.close()


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_a_node_is_killed_and_the_run_goes_on(tmp_path, nodes):
    """With keys by role, a shard of replay, and two learners."""
    driver = Driver(
        tmp_path / "run",
        workers=2,
        actors=2,
        shards=1,
        learners=2,
        cluster=nodes.address,
    )
    try:
        told = tmp_path / "driver.log"
        until(lambda: told.read_text().count(" is on ") >= 2, 120)
        away = [line for line in told.read_text().splitlines() if " is on " in line]
        nodes.remove()
        until(lambda: "ended by signal SIGKILL on" in told.read_text(), 240)
        driver.go_on(20, 400)
        assert driver.end() < PATIENCE
        assert away
    finally:
        driver.process.kill()
        driver.process.wait()
    entry = metrics(driver.run_dir)[-1]
    assert entry["ledger/lost"] == entry["ledger/balance"] == 0
    assert entry["ledger/insertions"] > 0


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_cluster_of_its_own_ends_with_the_run(tmp_path, number):
    """By Ctrl-C, or however hard: nothing of it is left."""
    pytest.importorskip("ray", reason=WITHOUT)
    driver = Driver(tmp_path / "run", workers=1, cluster="auto")
    parts = psutil.Process(driver.process.pid).children(recursive=True)
    try:
        assert {"raylet", "gcs_server"} <= {part.name() for part in parts}
        if number == signal.SIGINT:
            assert driver.end() < PATIENCE
            assert books(driver.run_dir).counts["insertions"] > 0
        else:
            pids = list(driver.pids().values())
            driver.process.kill()
            driver.process.wait()
            until(lambda: not any(map(alive, pids)), PATIENCE)
        until(lambda: not any(alive(part.pid) for part in parts), 120)
    finally:
        driver.process.kill()
        driver.process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_over_nodes_learns_what_one_machine_does(tmp_path, nodes):
    """At equal updates: in a minute all learn to stay where they are, which costs nobody more."""
    config = replace(CONFIG, games=("escape-room:3",), evaluate_interval=50, evaluate_games=20)
    welfare = {}
    for name, cluster in (("one", None), ("nodes", nodes.address)):
        run_dir = tmp_path / name
        train_distributed(config, run_dir, workers=2, actors=2, updates=100, cluster=cluster)
        entries = metrics(run_dir)
        curve = [entry[key] for entry in entries for key in entry if key.endswith("/welfare")]
        welfare[name] = curve[0], curve[-1]
        assert entries[-1]["step"] == 100
    assert welfare["one"][0] < -9.0  # What is done without learning.
    assert welfare["one"][-1] > -4.0
    assert welfare["nodes"][-1] == pytest.approx(welfare["one"][-1], abs=0.5)


def test_who_is_placed_elsewhere_has_a_key_for_its_role_alone(tmp_path):
    counts = Counts(3, 2, shards=1, learners=2, brokers=2)
    binding = open_binding("127.0.0.1", tmp_path / "keys", counts)
    budget = {"updates": 1, "until": None, "device": "cpu", "lease": 1.0, "patience": 1.0}
    roles = {role.name: role for role in crew(counts, binding, **budget, host="127.0.0.1")}
    held = {
        name: load_client_keys(Path(role.arguments["keys"])).role
        for name, role in roles.items()
        if role.anywhere
    }
    assert held == {"worker": "worker", "actor": "actor", "helper": "host"}
    assert sum(role.cpus * role.count for role in roles.values()) == counts.cpus
    assert binding.address("pool-1") == "tcp://127.0.0.1:*"
    assert binding.is_open
    # The same keys again, where the run is resumed.
    again = crew(counts, binding, **budget, host="127.0.0.1")
    assert [role.arguments for role in again if role.name == "worker"] == [
        roles["worker"].arguments
    ]
    json.dumps([role.arguments for role in again])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cluster", "auto"), "give both"),
        (("--workers", "1", "--cluster", "ray://head:10001"), "is for clients from outside"),
    ],
)
def test_bad_options_are_refused_in_a_line(tmp_path, capsys, options, words):
    common = ["train", "hanabi", "--run-dir", str(tmp_path / "run"), "--updates", "1"]
    assert cli.main([*common, *options]) == 2
    assert words in capsys.readouterr().err


def test_without_ray_a_run_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    common = ["train", "hanabi", "--run-dir", str(tmp_path / "run"), "--updates", "1"]
    began = time.monotonic()
    assert cli.main([*common, "--workers", "1", "--cluster", "auto"]) == 2
    assert "pip install 'troupe[cluster]'" in capsys.readouterr().err
    assert time.monotonic() - began < 60
    assert not (tmp_path / "run" / "config.json").exists()
