"""Every fault in turn, on a run over three hosts; the table is printed at the end (pytest -s).

Hosts are network namespaces with addresses of their own. Where the kernel has no netem, delay and
loss are made by a relay of TCP before the run: it can hold bytes back, but drop none, so a lost
packet is what its sender makes of it, a pause until it is sent again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tests.hosts import hosts, joining, why_not
from tests.marl.remote.test_join import OpenDriver
from tests.marl.remote.test_remote_run import CONFIG, metrics
from tests.transport.parts import until
from tests.watch import WINDOW, Watch, back_after, usual
from transport.keys import make_keys
from transport.launch import PROCESSES

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(3600)]

LONG_RUN = replace(CONFIG, evaluate_interval=10**9, checkpoint_minutes=0.1)
CUTS = (5, 30, 120)
BASE = 12.0
"""Seconds before a fault in which the usual rate is taken."""

PATIENCE = 90.0
"""Seconds after a mend within which the rate has to be back; the table says how long it took."""

ENOUGH = 0.9
KILLED = ("worker", "broker", "actor", "shard", "learner")

# Wrong by an hour for all that a process of Python can ask for, from its start on.
CLOCK = """
import time
for name in ("time", "monotonic"):
    setattr(time, name, lambda right=getattr(time, name): right() + 3600.0)
"""
PORTS = {"registry": 5555, "pool": 5556, "pool-workers": 5557, "weights": 5558, "replay-0": 5559}


class Guest:
    """A host that joins."""

    def __init__(self, network, name, role, folder, *, clock=False, relayed=False):
        self.role, self.run_dir = role, folder / f"{name}-{time.monotonic_ns()}"
        head = "127.0.0.1" if relayed else network.addresses["head"]
        first = []
        if clock:
            first = [str(folder / "clock")]
            (folder / "clock").mkdir(exist_ok=True)
            (folder / "clock" / "sitecustomize.py").write_text(CLOCK)
        peers = [f"{part}=tcp://{head}:{port}" for part, port in PORTS.items()]
        key = folder / "keys" / "clients" / f"{name}.json"
        options = ("--role", role, "--patience", 600, "--keys", key, "--run-dir", self.run_dir)
        if relayed:
            options = (*options, "--peer", *peers)
        self.process = joining(
            *(f"tcp://{head}:{PORTS['registry']}", *options, "--metrics-port", 0),
            on=network.on(name),
            first=first,
            start_new_session=True,
        )
        self.watch = Watch(network.on(name), self.run_dir, folder / f"{self.run_dir.name}.jsonl")

    def gone(self):
        """Ends as a machine does whose power fails."""
        pids = json.loads((self.run_dir / PROCESSES).read_text()).values()
        for pid in (self.process.pid, *pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.watch.close()
        self.process.kill()
        self.process.wait()


class Table:
    """What every fault has come to."""

    def __init__(self):
        self.rows = []

    def row(self, fault, grown, begun, mended, base):
        """Waits until the rate is back, and writes down when that was."""
        wanted, took = ENOUGH * base, None
        while took is None and time.monotonic() < mended + PATIENCE:
            time.sleep(1.0)
            took = back_after(grown(), mended, wanted)
        self.rows.append((fault, round(mended - begun, 1), round(base, 1), took))
        print(self.line(self.rows[-1]), flush=True)

    @staticmethod
    def line(row):
        fault, away, base, took = row
        back = "not back" if took is None else f"{took:.1f} s"
        return f"| {fault} | {away:g} s | {base:,.0f}/s | {back} |"


@contextlib.contextmanager
def run_over_hosts(tmp_path, **options):
    if reason := why_not():
        pytest.skip(reason)
    with hosts("head", "one", "two") as network, contextlib.ExitStack() as stack:
        make_keys(tmp_path / "keys", ["one"], "worker")
        make_keys(tmp_path / "keys", ["two"], "actor")
        binds = [f"{part}=tcp://0.0.0.0:{port}" for part, port in PORTS.items()]
        driver = OpenDriver(
            tmp_path / "run",
            config=LONG_RUN,
            on=network.on("head"),
            workers=1,
            shards=1,
            bind=[binds[0].partition("=")[2], *binds[1:]],
            keys=str(tmp_path / "keys"),
            **options,
        )
        stack.callback(driver.process.wait)
        stack.callback(driver.process.kill)
        yield network, driver, stack


def join(network, stack, tmp_path, name, role, **options):
    guest = Guest(network, name, role, tmp_path, **options)
    stack.callback(guest.close)
    name = "acted/moves" if role == "actor" else "weights_received/taken"
    until(lambda: guest.watch.grown(name)[1][-1:] > [0.0], 240)
    return guest


def played(watch, base=BASE):
    """How the moves of a host have grown, and the usual rate of the last seconds."""
    time.sleep(base + 2 * WINDOW)
    now = time.monotonic()
    grown = watch.grown("acted/moves")
    return now, usual(grown, now - base - WINDOW, now - WINDOW)


def test_every_fault_in_turn(tmp_path):
    table = Table()
    with run_over_hosts(tmp_path) as (network, driver, stack):
        head = Watch(network.on("head"), driver.run_dir, tmp_path / "head.jsonl")
        stack.callback(head.close)
        worker = join(network, stack, tmp_path, "one", "worker")
        actor = join(network, stack, tmp_path, "two", "actor", clock=True)
        for seconds in CUTS:
            begun, base = played(actor.watch)
            network.cable("two", plugged=False)
            time.sleep(seconds)
            network.cable("two", plugged=True)
            grown = lambda: actor.watch.grown("acted/moves")  # noqa: E731
            what = f"cable of an actor's host, its clock an hour wrong, pulled for {seconds} s"
            table.row(what, grown, begun, time.monotonic(), base)
        both = lambda: head.grown("acted/moves")  # noqa: E731
        begun, base = played(head)
        network.cable("one", plugged=False)
        time.sleep(5)
        network.cable("one", plugged=True)
        table.row("cable of a worker's host pulled for 5 s", both, begun, time.monotonic(), base)
        begun, base = played(head)
        worker.gone()
        table.row("a worker's host gone for good", both, begun, time.monotonic(), base)
        for name in KILLED:
            begun, base = played(head)
            killed = driver.kill(name)
            until(lambda k=killed, n=name: driver.pids().get(n) not in (None, k), 60)
            table.row(f"{name} killed", both, begun, time.monotonic(), base)
        # The driver has the registry; those that have joined find the next one.
        begun, base = played(actor.watch)
        driver.process.kill()
        driver.process.wait()
        again = OpenDriver(
            driver.run_dir,
            config=LONG_RUN,
            on=network.on("head"),
            **{**driver.given, "resume": True},
        )
        stack.callback(again.process.wait)
        stack.callback(again.process.kill)
        grown = lambda: actor.watch.grown("acted/moves")  # noqa: E731
        table.row("driver and registry killed, run resumed", grown, begun, time.monotonic(), base)
        begun, base = played(actor.watch)
        actor.gone()
        late = join(network, stack, tmp_path, "two", "actor")
        grown = lambda: late.watch.grown("acted/moves")  # noqa: E731
        table.row("an actor's host gone, another one joins", grown, begun, time.monotonic(), base)
        again.go_on(5)
        last = balanced(again.run_dir)
        assert again.end() < 10
    print("\n".join(table.line(row) for row in table.rows))
    print({name: value for name, value in last.items() if name.startswith("ledger/")})
    assert all(took is not None for *_, took in table.rows)


def balanced(run_dir):
    """The newest figures of the ledgers; none may ever have lost anything."""
    entries = metrics(run_dir)
    assert all(
        entry.get("ledger/lost", 0) == entry.get("ledger/balance", 0) == 0 for entry in entries
    )
    return entries[-1]


def test_a_slow_and_lossy_line(tmp_path):
    """100 ms each way, and one packet in fifty lost."""
    table = Table()
    with run_over_hosts(tmp_path) as (network, driver, stack):
        actor = join(network, stack, tmp_path, "two", "actor")
        begun, base = played(actor.watch)
        actor.gone()
        relay = [*network.on("two"), sys.executable, "-m", "tests.relay", network.addresses["head"]]
        process = subprocess.Popen([*relay, "0.1", "0.02", *map(str, PORTS.values())])
        stack.callback(process.wait)
        stack.callback(process.kill)
        slow = join(network, stack, tmp_path, "two", "actor", relayed=True)
        now, rate = played(slow.watch, 30.0)
        table.rows.append(
            ("100 ms of delay each way, 2 % of loss", round(now - begun, 1), base, None)
        )
        print(f"moves/s of the host: {base:,.1f} on a good line, {rate:,.1f} on the slow one")
        assert rate > 0
        driver.go_on(5)
        balanced(driver.run_dir)
        assert driver.end() < 10
