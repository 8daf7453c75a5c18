from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.transport.parts import client
from transport import child, sockets
from transport.launch import ProcessDiedError, Role, Supervisor
from transport.processes import PATIENCE

ROLES = "tests.transport.roles"


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def watch(crew):
    """Looks after a crew until the run is over."""
    while True:
        crew.check()
        time.sleep(0.01)


def test_roles_start_and_stop_together(tmp_path):
    with Supervisor(tmp_path, [Role("sleeper", f"{ROLES}:sleeper", count=3)]) as crew:
        until(lambda: len(list(tmp_path.glob("*.pid"))) == 3)
        pids = crew.pids()
        assert list(pids) == ["sleeper-0", "sleeper-1", "sleeper-2"]
        assert {int(file.read_text()) for file in tmp_path.glob("*.pid")} == set(pids.values())
        crew.check()
    assert not any(map(alive, pids.values()))


@pytest.mark.parametrize("role", ["stubborn", "ignore_signals"])
def test_who_does_not_listen_is_ended(tmp_path, role):
    crew = Supervisor(tmp_path, [Role("stubborn", f"{ROLES}:{role}")])
    until(lambda: (tmp_path / "stubborn-0.pid").exists())
    (pid,) = crew.pids().values()
    started = time.monotonic()
    crew.close()
    assert time.monotonic() - started < PATIENCE + 1
    assert not alive(pid)


def test_stacks_of_who_hangs_are_in_its_log(tmp_path):
    crew = Supervisor(tmp_path, [Role("stubborn", f"{ROLES}:stubborn")])
    until(lambda: (tmp_path / "stubborn-0.pid").exists())
    crew.close()
    assert "in stubborn" in (tmp_path / "logs" / "stubborn.log").read_text()


def test_what_was_killed_is_started_again(tmp_path):
    with Supervisor(tmp_path, [Role("sleeper", f"{ROLES}:sleeper")]) as crew:
        until(lambda: (tmp_path / "sleeper-0.pid").exists())
        (first,) = crew.pids().values()
        os.kill(first, signal.SIGKILL)

        def restarted():
            crew.check()
            return crew.restarts["sleeper"] == 1 and crew.pids()

        until(restarted)
        assert first not in crew.pids().values()


def test_a_spare_takes_the_place_of_who_was_killed(tmp_path):
    """It has imported what the role needs, and is the next one's; what nobody needed ends."""
    roles = [
        Role(
            "sleeper",
            f"{ROLES}:sleeper_with_keys",
            {"keys": "this one"},
            environment={"OURS": "1"},
        ),
        Role("other", f"{ROLES}:sleeper", environment={"OURS": "2"}),
        Role("once", f"{ROLES}:sleeper", restart="never", environment={"OURS": "3"}),
    ]
    with Supervisor(tmp_path, roles, prepare=f"{ROLES}:note_spare", calm=0.0) as crew:
        pids = crew.pids()
        crew.check()
        until(lambda: len(list(tmp_path.glob("spare-*.pid"))) == 2)
        spares = {pid: psutil.Process(pid) for pid in children() - set(pids.values())}
        assert sorted(spare.environ()["OURS"] for spare in spares.values()) == ["1", "2"]
        log = tmp_path / "logs" / "sleeper.log"
        until(lambda: "this one" in log.read_text())
        os.kill(pids["sleeper"], signal.SIGKILL)
        until(lambda: crew.check() and crew.restarts["sleeper"] == 1)
        assert crew.pids()["sleeper"] in spares
        until(lambda: log.read_text().count("this one") == 2)
        # And there is another one for the next time.
        until(lambda: crew.check() or len(children()) == 5)
        left = children()
    assert not any(map(alive, left))


def children():
    return {process.pid for process in psutil.Process().children()}


def test_there_are_no_spares_while_somebody_keeps_dying(tmp_path):
    with Supervisor(tmp_path, [Role("s", f"{ROLES}:sleeper")], calm=60.0) as crew:
        crew.check()
        assert children() == set(crew.pids().values())


def test_what_keeps_dying_ends_the_run_and_says_why(tmp_path):
    role = Role("short", f"{ROLES}:short_lived")
    with Supervisor(tmp_path, [role], failures=1) as crew:
        with pytest.raises(ProcessDiedError, match=r"short ended with status 1.*that was all.*log"):
            watch(crew)
        assert crew.restarts["short"] == 1


def test_what_the_run_needs_is_missed_at_once(tmp_path):
    with Supervisor(tmp_path, [Role("s", f"{ROLES}:sleeper", restart="essential")]) as crew:
        os.kill(crew.pids()["s"], signal.SIGKILL)
        with pytest.raises(ProcessDiedError, match="s ended by signal SIGKILL"):
            watch(crew)


def test_one_run_at_a_time_lives_in_a_folder(tmp_path):
    role = Role("sleeper", f"{ROLES}:sleeper")
    with Supervisor(tmp_path, [role]) as crew:
        until(lambda: (tmp_path / "sleeper-0.pid").exists())
        with pytest.raises(ValueError, match="another run lives in"):
            Supervisor(tmp_path, [role])
        crew.check()
        assert crew.pids()  # It was not disturbed.
    with Supervisor(tmp_path, [role]):
        pass


def test_one_that_keeps_dying_does_not_end_those_that_work(tmp_path):
    role = Role("w", f"{ROLES}:one_is_odd", {"odd": 1}, count=2)
    with Supervisor(tmp_path, [role], failures=1) as crew:
        news = []

        def tried():
            news.extend(crew.check())
            return crew.restarts["w"] >= 4

        until(tried)
        assert set(crew.pids()) >= {"w-0"}
        assert news[0] == "w-1 ended with status 1 and was started again (restarts of w: 1)"
        os.kill(crew.pids()["w-0"], signal.SIGKILL)  # A first time is no flapping.
        until(lambda: any(line.startswith("w-0") for line in crew.check()))
    role = Role("w", f"{ROLES}:short_lived", count=2)
    with (
        Supervisor(tmp_path, [role], failures=1) as crew,
        pytest.raises(ProcessDiedError, match="that was all"),
    ):
        watch(crew)


def test_what_no_restart_would_mend_ends_the_run_at_once(tmp_path):
    roles = [Role("w", f"{ROLES}:hopeless", count=2), Role("s", f"{ROLES}:sleeper")]
    with Supervisor(tmp_path, roles) as crew:
        with pytest.raises(ProcessDiedError, match=r"w-\d gave up: there is no hope \(log: "):
            watch(crew)
        assert not crew.restarts


def test_a_process_that_is_ending_is_not_cut_off_by_another_signal(tmp_path):
    """The kernel tells the child of a killed parent more than once."""
    role = Role("slow", f"{ROLES}:slow_to_stop", {"seconds": 0.5})
    with Supervisor(tmp_path, [role]) as crew:
        until(lambda: (tmp_path / "slow.pid").exists())
        (pid,) = crew.pids().values()
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
            time.sleep(0.05)
        until(lambda: not alive(pid))
    assert (tmp_path / "slow-ended.pid").exists()


def test_who_ends_hard_removes_what_is_half_written(tmp_path):
    crew = Supervisor(tmp_path, [Role("s", f"{ROLES}:half_written", patience=0.5)])
    until(lambda: (tmp_path / "half").exists())
    crew.close()
    assert not (tmp_path / "half").exists()


def test_a_log_without_room_ends_nobody(tmp_path, monkeypatch):
    original, room = os.write, [0, 4, 0, 100]

    def write(descriptor, data):
        if descriptor != file.fileno():
            return original(descriptor, data)
        if not (most := room.pop(0)):
            raise OSError(28, "No space left on device")
        return original(descriptor, data[:most])

    with (tmp_path / "log").open("wb") as file:
        log = child._log(file.fileno())
        monkeypatch.setattr(os, "write", write)
        for line in ("first", "second", "third"):
            print(line, file=log)
        monkeypatch.undo()
    assert (tmp_path / "log").read_text() == "first\nsecond\nthird\n"


def test_children_do_not_import_from_the_current_folder(tmp_path, monkeypatch):
    """A folder of the person's own may be called like a package of ours."""
    for package in ("transport", "agents", "games"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('a decoy')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    role = Role("s", f"{ROLES}:imports", {"names": ["agents", "games"]}, restart="essential")
    with Supervisor(tmp_path / "run", [role]) as crew:
        mark = tmp_path / "run" / "imported.pid"
        until(lambda: mark.exists() or (crew.check() and False))


@pytest.mark.chaos
def test_who_follows_on_a_killed_driver_waits_for_its_processes_to_go(tmp_path):
    """Their last act, to remove the socket files, must not hit the new run's."""
    driver = Driver(tmp_path)
    driver.process.kill()
    driver.process.wait()
    with Supervisor(tmp_path, [Role("broker", "transport.broker:run_broker")]):
        assert not any(map(alive, driver.pids))
        with client(tmp_path) as caller:
            assert caller.stats()["workers"] == 0


def test_what_is_done_is_not_started_again_but_what_failed_is(tmp_path):
    roles = [
        Role("done", f"{ROLES}:brief", restart="until_done"),
        Role("failed", f"{ROLES}:short_lived", restart="until_done"),
    ]
    with Supervisor(tmp_path, roles) as crew:

        def both():
            crew.check()
            return crew.done("done") and crew.restarts["failed"] >= 2

        until(both)
        assert crew.restarts["done"] == 0
        assert not crew.done("failed")


def test_a_role_may_be_given_more_time_to_stop(tmp_path):
    role = Role("slow", f"{ROLES}:slow_to_stop", {"seconds": PATIENCE + 0.5}, patience=10)
    with Supervisor(tmp_path, [role]):
        until(lambda: (tmp_path / "slow.pid").exists())
    assert (tmp_path / "slow-ended.pid").exists()


def test_what_may_end_is_left_alone(tmp_path):
    with Supervisor(tmp_path, [Role("s", f"{ROLES}:short_lived", restart="never")]) as crew:
        until(lambda: not crew.pids())
        crew.check()
        assert not crew.restarts


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ({"target": "tests"}, "not module:function"),
        ({"count": -1}, "count must be at least 0"),
        ({"nice": 20}, "nice 0 to 19"),
        ({"restart": "sometimes"}, "restart must be"),
        ({"patience": 0}, "patience must be positive, got 0"),
    ],
)
def test_bad_roles_are_refused(role, words):
    with pytest.raises(ValueError, match=words):
        Role(**{"name": "r", "target": "m:f", **role})


class Driver:
    """A run of its own: a driver process with a broker, workers, a table and an actor."""

    def __init__(self, run_dir):
        self.run_dir = run_dir
        roles = [
            {"name": "broker", "target": "transport.broker:run_broker"},
            {"name": "worker", "target": f"{ROLES}:worker", "count": 2},
            {"name": "table", "target": f"{ROLES}:table"},
            {"name": "actor", "target": f"{ROLES}:actor"},
        ]
        code = f"from {ROLES} import driver; driver({str(run_dir)!r}, {roles!r})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        until(lambda: (run_dir / "episodes.txt").exists() and self.episodes() > 1)
        self.pids = list(json.loads((run_dir / "pids.json").read_text()).values())
        assert len(self.pids) == 5
        assert sockets._ipc_path(run_dir).exists()

    def episodes(self):
        return len((self.run_dir / "episodes.txt").read_text().splitlines())

    def ended(self):
        self.process.poll()
        return not any(map(alive, self.pids)) and not sockets._ipc_path(self.run_dir).exists()


def kill_drivers(tmp_path, kills):
    """Kills drivers one after the other; returns what was left behind."""
    left = []
    for attempt in range(kills):
        run_dir = tmp_path / str(attempt)
        run_dir.mkdir()
        driver = Driver(run_dir)
        driver.process.kill()
        killed = time.monotonic()
        until(lambda driver=driver: driver.process.poll() and not any(map(alive, driver.pids)))
        assert time.monotonic() - killed < 5
        left += [
            path for path in (sockets._ipc_path(run_dir), run_dir / "endpoints") if path.exists()
        ]
    return left


@pytest.mark.chaos
def test_a_killed_driver_leaves_no_orphan_and_no_socket_file(tmp_path):
    assert kill_drivers(tmp_path, 3) == []


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_killed_driver_leaves_nothing_any_time(tmp_path):
    assert kill_drivers(tmp_path, 100) == []


@pytest.mark.chaos
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_brings_everything_down(tmp_path, number):
    driver = Driver(tmp_path)
    sent = time.monotonic()
    driver.process.send_signal(number)
    assert driver.process.wait(10) == 0
    assert time.monotonic() - sent < 3
    assert driver.ended()


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_brings_everything_down_every_time(tmp_path, number):
    for attempt in range(50):
        (tmp_path / str(attempt)).mkdir()
        test_a_signal_brings_everything_down(tmp_path / str(attempt), number)
