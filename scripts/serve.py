"""``troupe serve``: let an agent play for others, through a pool of processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from scripts.arguments import exporting, parse

if TYPE_CHECKING:
    from marl.runs.roster import Member
    from transport.client import Client
    from transport.launch import Role, Supervisor
    from transport.signals import StopFlag
    from transport.wire import Tensors

COMMAND = "troupe serve"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Serves an agent: whoever connects sends what it observes, and gets moves.

    A broker hands requests to workers; any of them may die, and is started again. Ctrl-C ends all.
    To play through it from Python: marl.remote.policy.connect(RUN_DIR).
    """

    agent: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="AGENT")]
    """Folder of a run, an exported folder, or the name of a shipped agent."""
    schedule: Literal["batch", "max_time", "expected_time", "frame_clock"] = "batch"
    """How requests meet workers: batch for throughput, frame_clock for a world in real time, or one
    of the two published algorithms."""
    workers: int = 1
    """Processes that infer."""
    brokers: int = 1
    """Brokers that clients and workers spread over; where one is lost, they go to the others."""
    bind: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ADDRESS ...")] = ("ipc",)
    """Where clients come in: ipc, tcp (a free local port) or tcp://HOST:PORT, one for each broker
    or one for all that leaves the port open. What other machines can reach needs --keys."""
    run_dir: Path = Path("runs/pool")
    """Folder in which endpoints are published and logs are kept."""
    keys: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """The server's folder of keys, made by troupe keys: only clients with a key come in."""
    lease: float = 10.0
    """Seconds that a worker has to answer, before another is asked."""
    max_rows: int = 1024
    """Observations that a worker is given at once, with the schedule batch."""
    threads: int = 1
    """Threads of a worker."""
    health: float = 30.0
    """Seconds within which a healthy pool has answered an inference."""
    metrics_port: Annotated[int | None, tyro.conf.arg(metavar="PORT")] = None
    """Offers the figures of every process to Prometheus, at ports from this one on; 0 for any that
    are free. Where they are stands in RUN_DIR/targets (docs/metrics.md)."""
    metrics_host: str = "127.0.0.1"
    """The interface for --metrics-port; this machine only, if nothing is said."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the network runs."""

    def __post_init__(self) -> None:
        for name in ("workers", "brokers", "max_rows", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}"
                )
        if self.brokers > self.workers:
            raise ValueError(
                f"each of --brokers {self.brokers} needs a worker: give --workers {self.brokers}"
            )
        if len(self.bind) == 1 and self.bind[0].endswith(("ipc", "tcp", ":*", ":0")):
            object.__setattr__(self, "bind", self.bind * self.brokers)
        if len(self.bind) != self.brokers:
            raise ValueError(
                f"--bind {' '.join(self.bind)} is for {len(self.bind)} broker(s), and there are "
                f"{self.brokers}: give an address for each, or one that leaves the port open "
                "(tcp://HOST:*)"
            )
        for name in ("lease", "health"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"--{name} must be a positive number, got {getattr(self, name)}")
        exporting(self.metrics_port, self.metrics_host)


def main(args: Sequence[str]) -> None:
    """Serves until it is interrupted.

    Raises:
        ValueError: if there is no such agent, the address cannot be bound, or a process keeps
            dying.
    """
    options = parse(Options, COMMAND, args)
    # They import torch: not for --help.
    from marl.runs.roster import load
    from transport.broker import roles
    from transport.client import Client, ClientConfig
    from transport.connection import Published
    from transport.keys import load_client_keys, own_keys
    from transport.launch import ProcessDiedError, Supervisor
    from transport.signals import StopFlag
    from transport.sockets import check_address

    for address in options.bind:
        check_address(address, options.keys)
    keys = None if options.keys is None else own_keys(options.keys)
    client_keys = None if keys is None else load_client_keys(keys)
    member = load(options.agent)
    crew_of, metrics = _roles(options, keys), exporting(options.metrics_port, options.metrics_host)
    if metrics is not None:
        metrics.check(1 + sum(role.count for role in crew_of))
    stop = StopFlag()
    try:
        with Supervisor(options.run_dir, crew_of, metrics=metrics) as crew:
            doors = [roles("pool", k, options.brokers)[0] for k in range(options.brokers)]
            endpoints = _wait_for_brokers(options.run_dir, doors, crew, stop)
            if endpoints is None:
                return
            print(
                f"{options.agent} is served at {' '.join(endpoints)} ({options.schedule}, "
                f"{options.workers} workers); published in {options.run_dir}, Ctrl-C ends it",
                flush=True,
            )
            config = ClientConfig(retry=options.health)
            with contextlib.ExitStack() as stack:
                pulses = []
                for door in doors:
                    pool = Published(options.run_dir, door)
                    client = stack.enter_context(Client(pool, config=config, keys=client_keys))
                    name = f"{door} " * (len(doors) > 1)
                    pulses.append(_Pulse(client, _question(member), options.health, name))
                while not stop():
                    for news in crew.check():
                        print(news, flush=True)
                    for pulse in pulses:
                        for news in pulse.news():
                            print(news, flush=True)
                    time.sleep(0.05)
    except ProcessDiedError as error:
        raise ValueError(str(error)) from error


def _roles(options: Options, keys: Path | None) -> list[Role]:
    """The processes: brokers, and the workers."""
    from transport.broker import roles
    from transport.launch import Role

    doors = [roles("pool", k, options.brokers)[0] for k in range(options.brokers)]
    return [
        Role(
            "broker",
            "transport.broker:run_broker",
            {
                "schedule": options.schedule,
                "workers": options.workers,
                "schedule_options": {"max_rows": options.max_rows},
                "lease": options.lease,
                "brokers": options.brokers,
                "addresses": dict(zip(doors, options.bind, strict=True)),
                "keys": None if options.keys is None else str(options.keys),
            },
            options.brokers,
        ),
        Role(
            "worker",
            "marl.remote.policy:serve_agent",
            {
                "agent": options.agent,
                "device": options.device,
                "threads": options.threads,
                "keys": None if keys is None else str(keys),
            },
            count=options.workers,
            environment={"OMP_NUM_THREADS": str(options.threads)},
        ),
    ]


def _wait_for_brokers(
    run_dir: Path, doors: list[str], crew: Supervisor, stop: StopFlag
) -> list[str] | None:
    """Where clients come in, once the brokers have published it; None if it is to stop first."""
    from transport.endpoints import find_endpoint

    while not stop():
        crew.check()
        with contextlib.suppress(ValueError):
            return [find_endpoint(run_dir, door, timeout=0.05) for door in doors]
    return None


class _Pulse:
    """Knows whether the pool lives: it wants an inference now and then, and an answer to it.

    Args:
        client: of the pool.
        question: a request that can be answered.
        within: seconds within which a healthy pool has answered.
        name: put before what there is to say.
    """

    def __init__(self, client: Client, question: Tensors, within: float, name: str = "") -> None:
        self.healthy, self._name = False, name
        self._client, self._question, self._within = client, question, within
        self._ask_at = 0.0
        self._answered = -float("inf")

    def news(self) -> list[str]:
        """What has changed; asks what is to be asked, and does not wait."""
        now, before = time.monotonic(), self.healthy
        for reply in self._client.arrived():
            if reply.error or reply.dropped:
                return [f"{self._name}an inference failed: {reply.error or reply.dropped}"]
            self._answered = now
        if now >= self._ask_at and not self._client.open_calls():
            self._ask_at = now + self._within / 3
            self._client.submit(self._question)
        self._client.wait(0.0)
        self.healthy = now - self._answered <= self._within
        if self.healthy == before:
            return []
        if self.healthy:
            return [f"{self._name}ready: an inference was answered"]
        return [f"{self._name}not healthy: no inference was answered in {self._within:g} s"]


def _question(member: Member) -> Tensors:
    """An observation of the agent's own game."""
    from marl.remote.policy import question

    return question(member.policy, member.config.settings()[0].batched(1))
