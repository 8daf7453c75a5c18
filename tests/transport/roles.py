"""What the processes of the chaos tests do: workers, actors, and the table they fill."""

from __future__ import annotations

import importlib
import json
import os
import signal
import time
from pathlib import Path

import numpy as np

from transport.child import FatalError, before_hard_end
from transport.client import Client, ClientConfig
from transport.endpoints import find_endpoint
from transport.service import Service
from transport.worker import serve


def worker(run_dir, number, stop, seconds=0.01):
    """Doubles, in its own time."""

    def infer(tensors):
        time.sleep(seconds)
        return {"y": 2 * tensors["x"]}

    serve(infer, run_dir, stop=stop, number=number)


def table(run_dir, number, stop, pause=0.0):
    """Writes down every episode that it is given, in the order of their coming."""
    with (run_dir / "episodes.txt").open("a", buffering=1) as file:

        def insert(tensors):
            time.sleep(pause)
            file.write(f"{int(tensors['actor'])} {int(tensors['episode'])}\n")
            return {}

        service = Service({"insert": insert}, run_dir, name="table")
        try:
            service.run(stop)
        finally:
            service.close()


def actor(run_dir, number, stop, steps=4, episodes=1_000_000):
    """Plays episodes: some steps, each an inference, two in flight; then inserts the episode."""
    with (
        Client(find_endpoint(run_dir, "pool"), config=ClientConfig(retry=0.5)) as pool,
        Client(find_endpoint(run_dir, "table"), config=ClientConfig(retry=0.5)) as table,
        (run_dir / f"actor-{number}.txt").open("w", buffering=1) as journal,
    ):
        for episode in range(episodes):
            if stop():
                break
            for step in range(steps):
                tickets = [
                    pool.submit({"x": np.full((2, 3), step + half, np.float32)}) for half in (0, 1)
                ]
                for half, ticket in enumerate(tickets):
                    reply = pool.result(ticket)
                    assert (reply.tensors["y"] == 2 * (step + half)).all()
                    journal.write(f"call {reply.seconds} {reply.worker}\n")
            table.call({"actor": np.array(number), "episode": np.array(episode)}, "insert")
            journal.write(f"inserted {episode}\n")
        journal.write("counts " + json.dumps(pool.counts) + "\n")
        journal.write(f"balance {pool.balance()} {table.balance()}\n")


def sleeper(run_dir, number, stop):
    """Waits to be told."""
    mark(run_dir, f"sleeper-{number}")
    while not stop():
        time.sleep(0.02)


def note_spare(run_dir):
    """What a spare does before it waits."""
    mark(run_dir, f"spare-{os.getpid()}")


def stubborn(run_dir, number, stop):
    """Does not want to hear."""
    mark(run_dir, f"stubborn-{number}")
    while True:
        time.sleep(1)


def short_lived(run_dir, number, stop, seconds=0.0):
    time.sleep(seconds)
    raise SystemExit("that was all")


def one_is_odd(run_dir, number, stop, odd):
    if number == odd:
        raise SystemExit("not I")
    sleeper(run_dir, number, stop)


def hopeless(run_dir, number, stop):
    raise FatalError("there is no hope")


def half_written(run_dir, number, stop):
    """Hangs over a file that nobody is to find."""
    before_hard_end((run_dir / "half").unlink)
    (run_dir / "half").touch()
    stubborn(run_dir, number, stop)


def imports(run_dir, number, stop, names):
    """Needs these modules."""
    for name in names:
        importlib.import_module(name)
    mark(run_dir, "imported")
    sleeper(run_dir, number, stop)


def brief(run_dir, number, stop):
    """Does what it has to, and is done."""


def slow_to_stop(run_dir, number, stop, seconds):
    mark(run_dir, "slow")
    while not stop():
        time.sleep(0.02)
    time.sleep(seconds)
    mark(run_dir, "slow-ended")


def driver(run_dir, roles):
    """A run with processes of its own, to be killed."""
    from transport.launch import Role, Supervisor
    from transport.signals import StopFlag

    stop = StopFlag()
    with Supervisor(Path(run_dir), [Role(**role) for role in roles]) as crew:
        mark(Path(run_dir), "driver")
        while not stop():
            crew.check()
            (Path(run_dir) / "pids.tmp").write_text(json.dumps(crew.pids()))
            (Path(run_dir) / "pids.tmp").rename(Path(run_dir) / "pids.json")
            time.sleep(0.02)


def mark(run_dir, name):
    temporary = run_dir / f".{name}.tmp"
    temporary.write_text(str(os.getpid()))
    temporary.rename(run_dir / f"{name}.pid")


def ignore_signals(run_dir, number, stop):
    """Cannot even be told."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    stubborn(run_dir, number, stop)


def sleeper_with_keys(run_dir, number, stop, keys):
    """Says which keys it was given, and waits to be told."""
    print(keys, flush=True)
    sleeper(run_dir, number, stop)
