"""A machine that joins a run: workers and actors of its own, which may come and go.

The crew has a folder of its own. Into it the run's configuration is written, and the endpoints of
the run are mirrored for as long as it stays (``transport.endpoints``); the processes are those of
any run, and find all they need there. When the run is away they wait; when it has been away for
``patience`` seconds, they go.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from marl.remote.crew import PREPARE
from marl.remote.shard import role
from marl.runs.config import CONFIG_FILE, PHRASES_FILE, TrainConfig, from_dict, load_config
from marl.runs.saving import write_config
from transport.binding import client_keys
from transport.endpoints import (
    Endpoint,
    Endpoints,
    FileEndpoints,
    Mirror,
    StaticEndpoints,
    alike,
)
from transport.exporter import Exporting
from transport.keys import HOST, ClientKeys
from transport.launch import Role, Supervisor
from transport.registry import RemoteEndpoints
from transport.relay import HOST_FOLDER
from transport.signals import StopFlag
from transport.sockets import withdraw

PATIENCE = 60.0
"""Seconds that a run may be away before its guests go, by default."""

JOINED_FILE = "joined.json"
"""In the folder of a crew that has joined: which run."""

NEEDS = {"worker": ("pool-workers", "weights"), "actor": ("pool", "replay")}
"""The parts of the run that each role talks to; where there are several alike, to these."""

_LOOK = 1.0  # Seconds between looks where the parts of the run are.


@dataclass(frozen=True)
class Guests:
    """Who joins a run.

    Attributes:
        run: where it is: the address of its registry, or its folder.
        workers: processes that infer.
        actors: processes that play.
        run_dir: folder of their own, for logs.
        keys: file of keys; None for a run that has none.
        peers: addresses of parts of the run by role, which count before what the run says.
        patience: seconds that the run may be away.
        metrics: where its processes offer their figures, if they do.
    """

    run: str
    workers: int
    actors: int
    run_dir: Path
    keys: Path | None = None
    peers: Mapping[str, str] | None = None
    patience: float = PATIENCE
    metrics: Exporting | None = None

    def __post_init__(self) -> None:
        if min(self.workers, self.actors) < 0 or not self.workers + self.actors:
            raise ValueError(
                f"at least one worker or actor has to join, got {self.workers} workers and "
                f"{self.actors} actors"
            )
        if not self.patience > 0:
            raise ValueError(f"patience must be positive, got {self.patience}")

    @property
    def roles(self) -> list[str]:
        """What they do."""
        return [role for role in NEEDS if getattr(self, f"{role}s")]


def join(guests: Guests) -> None:
    """Joins a run, and stays until it has gone or somebody interrupts.

    Raises:
        ValueError: if there is no such run, it cannot be joined from here, or its folder is taken.
        ProcessDiedError: if a process keeps dying.
    """
    keys = client_keys(None if guests.keys is None else str(guests.keys))
    _check_role(guests, keys)
    if guests.metrics is not None:
        guests.metrics.check(1 + guests.workers + guests.actors)
    with ExitStack() as stack:
        run: _Run
        if "://" in guests.run:
            remote = stack.enter_context(RemoteEndpoints(guests.run, keys))
            run = _Announced(remote, guests)
        else:
            run = _Shared(Path(guests.run), guests)
        config = run.config()
        _take_folder(guests, config, run.phrases)
        stop = stack.enter_context(StopFlag())
        stack.callback(withdraw, guests.run_dir / HOST_FOLDER)
        roles = _roles(guests, run)
        crew = stack.enter_context(
            Supervisor(guests.run_dir, roles, metrics=guests.metrics, prepare=PREPARE)
        )
        mirror = Mirror(run, FileEndpoints(guests.run_dir))
        look = 0.0
        print(f"joined {guests.run}; logs in {guests.run_dir}/logs, Ctrl-C leaves", flush=True)
        while not stop():
            for news in crew.check():
                print(news, file=sys.stderr, flush=True)
            if (now := time.monotonic()) >= look:
                look = now + _LOOK
                mirror.update()
                if now - mirror.heard > guests.patience:
                    print(f"{guests.run} has been away for {guests.patience:g} s: leaving")
                    return
            time.sleep(0.05)


class _Run(Endpoints):
    """A run that is joined: its endpoints, what it trains, and how its games are shared."""

    actors: int
    shards: int
    phrases: Path | None = None

    def config(self) -> TrainConfig:
        """What it trains."""
        raise NotImplementedError


class _Announced(_Run):
    """A run that is known by its registry.

    Raises:
        ValueError: if nobody answers there, or it is of another version.
    """

    def __init__(self, remote: RemoteEndpoints, guests: Guests) -> None:
        self._remote, self._guests = remote, guests
        deadline = time.monotonic() + min(guests.patience, 10.0)
        while True:
            try:
                self._about = remote.about()
                break
            except TimeoutError:
                if time.monotonic() >= deadline:
                    raise ValueError(
                        f"nobody answers at {guests.run}: is the run there, started with --bind?"
                    ) from None
        if self._about["troupe"] != version("troupe"):
            raise ValueError(
                f"the run is of Troupe {self._about['troupe']}, this is {version('troupe')}: "
                "install the same on all machines"
            )
        self.actors, self.shards = int(self._about["actors"]), int(self._about["shards"])
        self._life = str(self._about["life"])

    def config(self) -> TrainConfig:
        """As the registry tells it."""
        config = from_dict(self._about["config"])
        if any(not game.phrasebook.closed for game in _playing(config)):
            raise ValueError(
                f"{', '.join(config.games)} has a phrasebook that grows, which the machines of a "
                "run share through its folder: give the folder instead of an address"
            )
        return config

    def published(self) -> dict[str, Endpoint]:
        """As the registry tells them.

        Raises:
            ValueError: if another run has taken the place of the one that was joined.
        """
        published = self._remote.published()
        if any(where.life != self._life for where in published.values()):
            about = self._remote.about()
            if about["config"] != self._about["config"]:
                raise ValueError(f"another run is at {self._guests.run} now: join it anew")
            self._life = str(about["life"])
        _check_reachable(published, self._guests)
        return published | _peers(self._guests)


class _Shared(_Run):
    """A run whose folder this machine can read, too."""

    def __init__(self, folder: Path, guests: Guests) -> None:
        self._files, self._guests = FileEndpoints(folder, outside=True), guests
        self.phrases = folder.resolve() / PHRASES_FILE
        self.actors = max(guests.actors, 1)
        self.shards = 0
        while role(self.shards) in self._files.published():
            self.shards += 1

    def config(self) -> TrainConfig:
        """As it lies in the folder."""
        return load_config(self._files.run_dir)

    def published(self) -> dict[str, Endpoint]:
        """As they lie in the folder.

        Raises:
            TimeoutError: if nothing is published there, so that the run is not going.
        """
        published = self._files.published()
        if not published and not self._guests.peers:
            raise TimeoutError(f"nothing is published in {self._files.run_dir}")
        return published | _peers(self._guests)


def _peers(guests: Guests) -> dict[str, Endpoint]:
    return StaticEndpoints(guests.peers or {}).published()


def _check_role(guests: Guests, keys: ClientKeys | None) -> None:
    """Raises ValueError where a key does not open what the guests need."""
    for wanted in guests.roles:
        if keys is not None and not {wanted, HOST} & set(keys.role.split()):
            raise ValueError(
                f"{guests.keys} is a {keys.role}'s key and makes no {wanted}: the run's owner "
                f"makes one by `troupe keys FOLDER NAME --role {wanted}`"
            )


def _check_reachable(published: Mapping[str, Endpoint], guests: Guests) -> None:
    """Raises ValueError where a part that is needed listens on its own machine alone."""
    needs = {need for name in guests.roles for need in NEEDS[name]}
    for part in {part for need in needs for part in alike(need, published)}:
        address = published[part].address
        if address.startswith("ipc://") and part not in (guests.peers or {}):
            raise ValueError(
                f"{part} of the run listens on its own machine alone ({address}): start the run "
                "with --bind tcp://HOST:PORT"
            )


def _playing(config: TrainConfig) -> list[Any]:
    return [setting.batched(1) for setting in config.settings()]


def _take_folder(guests: Guests, config: TrainConfig, phrases: Path | None) -> None:
    """Makes a folder that of a crew that has joined.

    Raises:
        ValueError: if a run lives there.
    """
    folder = guests.run_dir
    if (folder / CONFIG_FILE).exists() and not (folder / JOINED_FILE).exists():
        raise ValueError(f"{folder} holds a run of its own: choose another --run-dir")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JOINED_FILE).write_text(json.dumps({"run": guests.run}) + "\n")
    write_config(config, folder)
    (folder / HOST_FOLDER).mkdir(exist_ok=True)
    own = folder / PHRASES_FILE
    with contextlib.suppress(FileNotFoundError):
        own.unlink()
    if phrases is not None:
        own.symlink_to(phrases)


def _roles(guests: Guests, run: _Run) -> list[Role]:
    """The processes, which are those of any run."""
    own = {"keys": None if guests.keys is None else str(guests.keys.resolve())}
    single = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    first = secrets.randbelow(run.actors)
    shares = {"actors": run.actors, "first": first, "shards": run.shards}
    return [
        Role("worker", "marl.remote.worker:answer", own, guests.workers, environment=single),
        Role(
            "actor", "marl.remote.actor:play", {**shares, **own}, guests.actors, environment=single
        ),
    ]
