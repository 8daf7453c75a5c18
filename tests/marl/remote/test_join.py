"""Machines that join a run: over TCP with keys, in a folder of their own, to come and go."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from games.text import Phrasebook
from marl.remote.join import Guests, _Announced, _Shared, _take_folder, join
from marl.remote.learner import LearnerRun
from marl.runs.config import to_dict
from marl.runs.saving import write_config
from scripts import cli
from tests.hosts import joining
from tests.marl.remote.test_remote_run import CONFIG, Driver, books
from tests.transport.parts import until
from tests.transport.test_launch import alive
from tests.transport.test_metrics import page
from transport.client import Client
from transport.endpoints import Endpoint, FileEndpoints
from transport.exporter import TARGETS
from transport.keys import load_client_keys, make_keys, own_keys
from transport.launch import PROCESSES

DOCS = Path(__file__).parents[3] / "docs"
WORLD = "tcp://10.0.0.9:5555"


class OpenDriver(Driver):
    """A run that others may join."""

    CODE = (
        "import json, sys; from pathlib import Path\n"
        "from marl.runs.config import from_dict\n"
        "from marl.remote.crew import listening\n"
        "from marl.remote.driver import train_distributed\n"
        "from transport.binding import parse_binding\n"
        "config, run_dir, options = json.loads(sys.stdin.readline())\n"
        "from transport.exporter import Exporting\n"
        "bind, keys = options.pop('bind'), Path(options.pop('keys'))\n"
        "bind = [bind] if isinstance(bind, str) else bind\n"
        "binding = parse_binding(bind, [*listening(), 'replay-0'], host=None, keys=keys)\n"
        "train_distributed(\n"
        "    from_dict(config), Path(run_dir), **options, binding=binding, metrics=Exporting()\n"
        ")"
    )


@pytest.fixture
def guest():
    started = []

    def start(*options):
        started.append(joining(*options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_host_joins_plays_is_killed_and_the_run_goes_on(tmp_path, guest):
    make_keys(tmp_path / "keys", ["guest"], "worker actor")
    make_keys(tmp_path / "keys", ["alice"])
    clients = tmp_path / "keys" / "clients"
    driver = OpenDriver(
        tmp_path / "run", workers=1, bind="tcp://127.0.0.1:0", keys=str(tmp_path / "keys")
    )
    try:
        files = FileEndpoints(driver.run_dir)
        registry = files.address("registry")
        assert registry.startswith("tcp://127.0.0.1:")
        with pytest.raises(ValueError, match=r"is a client's key and makes no worker: .*--role"):
            join(Guests(registry, 1, 0, tmp_path / "no", clients / "alice.json"))
        host = ("--role", "worker", "actor", "--keys", clients / "guest.json")
        host = (*host, "--metrics-port", "0")
        joined = guest(registry, *host, "--run-dir", tmp_path / "guest")
        local = load_client_keys(own_keys(tmp_path / "keys"))
        with Client(files.address("pool"), keys=local) as pool:
            until(lambda: pool.stats()["workers"] == 2, 120)
            # Two halves of the run's own actor, and two of the one that has joined.
            until(lambda: accounts(driver.run_dir) == 4, 120)
            measures_itself(driver.run_dir, tmp_path / "guest")
            pids = list(json.loads((tmp_path / "guest" / PROCESSES).read_text()).values())
            joined.kill()
            until(lambda: not any(map(alive, pids)))
            until(lambda: pool.stats()["workers"] == 1)
        driver.go_on(5)
        assert driver.end() < 10
    finally:
        driver.process.kill()
        driver.process.wait()
    assert books(driver.run_dir).counts["insertions"] > 0


def measures_itself(run_dir, guest):
    """Every process has an exporter, with the families that docs/metrics.md says it has."""
    told = {}
    for line in (DOCS / "metrics.md").read_text().splitlines():
        if line.startswith("| `troupe_"):
            _, name, _, roles, *_ = (cell.strip() for cell in line.split("|"))
            for role in roles.split(", "):
                told.setdefault(role, set()).add(name.strip("`"))
    crews = {
        run_dir: ("driver", "learner", "broker", "worker", "actor"),
        guest: ("worker", "actor"),
    }
    for folder, names in crews.items():
        for role in names:
            (target,) = json.loads((folder / TARGETS / f"{role}.json").read_text())
            port = int(target["targets"][0].rpartition(":")[2])
            samples = page(port)
            relays = any(("outcome", "relayed") in labels for _, *labels in samples)
            assert relays == ((folder, role) == (guest, "worker"))
            found = {family for family, *_ in samples if family.startswith("troupe_")}
            found = {re.sub("_(total|bucket|sum|count)$", "", family) for family in found}
            # What only counts refusals may have nothing to say, and a learner asks nobody.
            rare = {"troupe_refused"} | {f"troupe_{n}" for n in ("calls", "call_seconds")}
            assert told[role] - found <= (rare if role != "actor" else {"troupe_refused"}), role
            assert found <= told[role], role


def accounts(run_dir):
    """Actors in the books of the newest checkpoint, which are balanced."""
    time.sleep(0.5)
    return len(books(run_dir).state()["accounts"])


class Told:
    """A registry that says what it is told to say."""

    def __init__(self, config=CONFIG, **about):
        self.said = {
            "config": to_dict(config),
            "actors": 3,
            "shards": 2,
            "troupe": version("troupe"),
            "life": "a",
            **about,
        }
        self.endpoints = {}

    def about(self):
        if self.said.get("silent"):
            raise TimeoutError
        return self.said

    def published(self):
        return self.endpoints


def test_who_joins_learns_what_is_trained(tmp_path):
    guests = Guests(WORLD, 0, 1, tmp_path)
    told = Told()
    run = _Announced(told, guests)
    assert run.config() == CONFIG
    assert run.actors == 3
    there = {name: Endpoint(f"tcp://a:{i}", "a", 9.0) for i, name in enumerate(("pool", "replay"))}
    told.endpoints = there
    assert run.published() == there
    # The run was resumed: it has another life, and is the same run.
    told.said = {**told.said, "life": "b"}
    told.endpoints = {name: where._replace(life="b") for name, where in there.items()}
    assert run.published()["pool"].life == "b"
    told.said = {**told.said, "life": "c", "config": to_dict(replace(CONFIG, seed=5))}
    told.endpoints = {name: where._replace(life="c") for name, where in there.items()}
    with pytest.raises(ValueError, match=r"another run is at tcp.* now: join it anew"):
        run.published()


def test_what_cannot_be_joined_says_why(tmp_path, monkeypatch):
    guests = Guests(WORLD, 0, 1, tmp_path / "own", patience=0.1)
    with pytest.raises(ValueError, match=r"nobody answers at tcp://10\.0\.0\.9:5555"):
        _Announced(Told(silent=True), guests)
    with pytest.raises(ValueError, match="the run is of Troupe 99, this is"):
        _Announced(Told(troupe="99"), guests)
    run = _Announced(told := Told(), guests)
    told.endpoints = {"replay": Endpoint("ipc:///tmp/x/replay", "a", 9.0)}
    with pytest.raises(ValueError, match=r"replay of the run listens .* alone .*--bind"):
        run.published()
    assert (
        _Announced(told, replace(guests, peers={"replay": "tcp://b:1"}))
        .published()["replay"]
        .address
        == "tcp://b:1"
    )
    growing = SimpleNamespace(phrasebook=Phrasebook(closed=False))
    monkeypatch.setattr("marl.remote.join._playing", lambda config: [growing])
    with pytest.raises(ValueError, match="give the folder instead of an address"):
        run.config()
    with pytest.raises(ValueError, match="at least one worker or actor"):
        Guests(WORLD, 0, 0, tmp_path)


def test_a_shared_folder_is_enough(tmp_path):
    """Its endpoints are those that other machines reach, and its phrases are the run's."""
    folder, own = tmp_path / "run", tmp_path / "own"
    write_config(CONFIG, folder)
    guests = Guests(str(folder), 1, 0, own)
    run = _Shared(folder, guests)
    assert run.config() == CONFIG
    with pytest.raises(TimeoutError):
        run.published()
    FileEndpoints(folder).publish("pool", "tcp://127.0.0.1:1", "tcp://head:1")
    assert run.published()["pool"].address == "tcp://head:1"
    for _ in range(2):  # It may come again.
        _take_folder(guests, CONFIG, run.phrases)
    (folder / "phrases.txt").write_text("hello\n")
    assert (own / "phrases.txt").read_text() == "hello\n"
    with pytest.raises(ValueError, match="holds a run of its own"):
        _take_folder(replace(guests, run_dir=folder), CONFIG, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((WORLD, "--count", "0"), "--count must be at least 1, got 0"),
        ((WORLD, "--patience", "0"), "--patience must be a positive number"),
        ((WORLD, "--peer", "pool"), "is no peer"),
        (("nowhere",), "holds no run"),
        ((WORLD,), "needs keys"),
    ],
)
def test_bad_options_are_refused_in_a_line(tmp_path, capsys, options, words):
    assert cli.main(["join", *options, "--run-dir", str(tmp_path / "own")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "own").exists()


def test_addresses_and_keys_are_for_runs_of_several_processes(tmp_path, capsys):
    run_dir = ["--run-dir", str(tmp_path / "run"), "--updates", "1"]
    assert cli.main(["train", "hanabi", *run_dir, "--bind", "tcp://127.0.0.1:1"]) == 2
    assert "give --workers" in capsys.readouterr().err
    everywhere = ["--workers", "1", "--bind", "tcp://0.0.0.0:5555"]
    assert cli.main(["train", "hanabi", *run_dir, *everywhere]) == 2
    assert "needs keys" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_learner_without_keys_stays_on_its_machine(tmp_path):
    run = LearnerRun(CONFIG, tmp_path)
    try:
        assert all(
            where.address.startswith("ipc://")
            for where in FileEndpoints(tmp_path).published().values()
        )
    finally:
        run.close()
