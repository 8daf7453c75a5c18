"""Processes that a cluster places: what is done on each machine, with a Ray that is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.transport.parts import Thread, until
from tests.transport.test_launch import ROLES, alive
from transport.berth import Berth, _own_folder
from transport.child import FATAL
from transport.claim import Claim, is_claimed, life_in
from transport.cluster import Cluster, PlacedProcess
from transport.endpoints import FileEndpoints
from transport.keys import load_client_keys, load_server_keys, make_keys, role_keys
from transport.launch import ProcessDiedError, Role, Supervisor
from transport.processes import task_of
from transport.registry import Registry


class Failed(Exception):
    """What Ray raises where a machine has gone."""


class TaskFailed(Failed):
    """What Ray raises where a function has."""

    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class Remote:
    """A method of an actor: called at once, in this process."""

    def __init__(self, actor, name):
        self.actor, self.name = actor, name

    def remote(self, *arguments):
        if self.actor.gone:
            return Failed("gone")
        try:
            return getattr(self.actor.berth, self.name)(*arguments)
        except ValueError as error:
            return TaskFailed(error)


class Actor:
    def __init__(self):
        self.gone, self.berth = False, Berth()

    def __getattr__(self, name):
        return Remote(self, name)


class Ray:
    """As much of Ray as is used, with one node whose actors live in this process."""

    exceptions = SimpleNamespace(RayTaskError=TaskFailed, RayError=Failed)

    def __init__(self, node="there"):
        self.util = SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1")
        self.node, self.placing = node, True

    def get_runtime_context(self):
        return SimpleNamespace(get_node_id=lambda: self.node)

    def wait(self, references, timeout):
        return (references, []) if self.placing else ([], references)

    def get(self, answer):
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill(self, actor):
        actor.gone = True


@pytest.fixture
def ray(monkeypatch, tmp_path):
    there = Ray()
    monkeypatch.setitem(sys.modules, "ray", there)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return there


def cluster(ray, run_dir, files=None, home="here"):
    """The driver's side, on another node than the actors."""
    part = Cluster.__new__(Cluster)
    part.ray, part.run_dir, part.node = ray, run_dir, home
    part.files, part._news, part._waiting = files or {}, [], set()
    part.actors, part._kept = [], {}

    def new_berth(role):
        part.actors.append(Actor())
        return part.actors[-1]

    part._new_berth = new_berth
    return part


def test_a_process_elsewhere_has_a_folder_of_its_own_and_the_runs_endpoints(tmp_path, ray):
    run_dir, keys = tmp_path / "run", tmp_path / "keys"
    make_keys(keys, [])
    key = role_keys(keys, "cluster-worker", "worker")
    role = Role("sleeper", f"{ROLES}:sleeper_with_keys", {"keys": str(key)}, anywhere=True)
    with Claim(run_dir) as claim:
        placed = cluster(ray, run_dir, {"config.json": "{}"})
        with Supervisor(run_dir, [role], claim=claim, start=placed.start) as crew:
            (child,) = crew._children
            until(lambda: crew.check() == [] and child.process.pid)
            folder = placed.actors[0].berth._folder
            assert folder.stat().st_mode & 0o077 == 0
            assert (folder / "config.json").read_text() == "{}"
            assert load_client_keys(folder / "key.json").role == "worker"
            assert placed.news() == ["sleeper is on 127.0.0.1 (node there)"]
            assert crew.pids() == json.loads((run_dir / "processes.json").read_text())

            registry = Registry(run_dir, "tcp://127.0.0.1:*", about={}, keys=load_server_keys(keys))
            FileEndpoints(run_dir).publish("pool", "tcp://127.0.0.1:1", "tcp://10.0.0.1:1")
            assert life_in(folder) != life_in(run_dir)

            def serve():
                registry.run = lambda stop: [registry.poll(0.02) for _ in iter(stop, True)]
                return registry

            served = Thread(serve)
            until(
                lambda: (
                    crew.check() == []
                    and FileEndpoints(folder).address("pool") == "tcp://10.0.0.1:1"
                )
            )
            log = run_dir / "logs" / "sleeper.log"
            until(lambda: crew.check() == [] and log.exists() and "key.json" in log.read_text())
            pid = child.process.pid
            served.stop()
        assert not alive(pid)
        assert not folder.exists()
        assert placed.actors[0].gone


def test_a_process_whose_machine_has_gone_is_started_on_another(tmp_path, ray):
    with Claim(tmp_path / "run") as claim:
        placed = cluster(ray, tmp_path / "run")
        role = Role("sleeper", f"{ROLES}:sleeper", anywhere=True)
        with Supervisor(tmp_path / "run", [role], claim=claim, start=placed.start) as crew:
            (child,) = crew._children
            until(lambda: crew.check() == [] and child.process.pid)
            first = placed.actors[0].berth
            placed.actors[0].gone = True
            news = []
            until(lambda: news.extend(crew.check()) or news)
            assert news[0].startswith(
                "sleeper ended by signal SIGKILL on 127.0.0.1 (node there) and was started again"
            )
            until(lambda: crew.check() == [] and child.process.pid)
            assert child.process.pid != first._process.pid
            first._process.kill()
            first._process.wait()
            first._leave()


def test_beside_the_driver_a_process_has_the_runs_folder(tmp_path, ray):
    with Claim(tmp_path / "run") as claim:
        placed = cluster(ray, tmp_path / "run", home="there")
        role = Role("sleeper", f"{ROLES}:sleeper")
        with Supervisor(tmp_path / "run", [role], claim=claim, start=placed.start) as crew:
            until(lambda: crew.check() == [] and (tmp_path / "run" / "sleeper-0.pid").exists())
            berth = placed.actors[0].berth
            assert berth._folder is None
            # It holds the folder, though it is no child of the one that has claimed it.
            assert is_claimed(tmp_path / "run")
            pid = berth._process.pid
            began = time.monotonic()
        assert not alive(pid)
        assert time.monotonic() - began < 10
    assert not is_claimed(tmp_path / "run")


def test_a_place_beside_the_driver_is_taken_first_and_kept(tmp_path, ray):
    """Where a machine has gone there may not be room for all, and without these nothing goes on."""
    with Claim(tmp_path / "run") as claim:
        placed = cluster(ray, tmp_path / "run", home="there")
        roles = [
            Role("guest", f"{ROLES}:sleeper", anywhere=True),
            Role("sleeper", f"{ROLES}:sleeper", count=2),
        ]
        placed.reserve(roles)
        assert list(placed._kept) == ["sleeper-0", "sleeper-1"]
        with Supervisor(tmp_path / "run", roles, claim=claim, start=placed.start) as crew:
            until(lambda: crew.check() == [] and len(crew.pids()) == 3)
            assert len(placed.actors) == 3
            before = crew.pids()
            for pid in before.values():
                os.kill(pid, 9)
            until(lambda: crew.check() == [] and len(set(crew.pids().values())) == 3)
            until(lambda: not set(crew.pids().values()) & set(before.values()) or crew.check())
            assert sum(actor.gone for actor in placed.actors) == 1
            assert len(placed.actors) == 4
            # What has gone with its place gets another one.
            placed._kept["sleeper-0"].gone = True
            until(lambda: crew.check() or len(placed.actors) == 5)
        placed.actors[0].gone = True
    for actor in placed.actors:
        if (process := actor.berth._process) is not None:
            process.kill()
            process.wait()


def test_another_version_there_ends_the_run_with_a_word(tmp_path, ray, monkeypatch):
    monkeypatch.setattr(
        "transport.cluster.Cluster.outfit",
        lambda self, role: json.dumps({"troupe": "99", "run_dir": "", "node": "", "files": {}}),
    )
    with Claim(tmp_path / "run") as claim:
        placed = cluster(ray, tmp_path / "run")
        role = Role("sleeper", f"{ROLES}:sleeper", anywhere=True)
        with (
            Supervisor(tmp_path / "run", [role], claim=claim, start=placed.start) as crew,
            pytest.raises(ProcessDiedError, match=rf"of Troupe 99, .* has {version('troupe')}"),
        ):
            until(crew.check)
        assert crew._children[0].process.poll() == FATAL


def test_who_waits_for_a_place_says_so_once(tmp_path, ray, monkeypatch):
    monkeypatch.setattr("transport.cluster._WAITING", 0.0)
    ray.placing, ray.available_resources = False, lambda: {"CPU": 1.5}
    (tmp_path / "logs").mkdir()
    placed = cluster(ray, tmp_path)
    role = Role("late", f"{ROLES}:sleeper", anywhere=True)
    process = PlacedProcess(placed, role, "late", task_of(role, 0, "late"))
    assert process.poll() is process.poll() is None
    words = "late waits for a place in the cluster, where 1.5 CPU, 0 GPU are free"
    assert placed.news() == [words]
    assert placed.news() == []
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.terminate()
    assert process.wait() == -9
    placed.actors[0].berth._process.kill()
    placed.actors[0].berth._process.wait()


def test_folders_of_killed_processes_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, lived, young = (_own_folder(name) for name in ("left", "lived", "young"))
    claim = Claim(lived)
    Claim(left).close()
    for folder in (left, lived):
        os.utime(folder, (0, 0))
    other = _own_folder("other")
    assert sorted(path.name for path in Path(left.parent).iterdir()) == sorted(
        path.name for path in (lived, young, other)
    )
    claim.close()


def test_without_ray_there_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"--cluster auto needs Ray: pip install"):
        Cluster("auto", tmp_path)
    with pytest.raises(ValueError, match=r"is for clients from outside: start the run on"):
        Cluster("ray://head:10001", tmp_path)
