"""An actor's process: plays games through the pool, and hands what was played to replay."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from agents.r3d2.answers import AnswerSheets
from games.text import Translation, shared
from marl.acting.actor import Actor
from marl.episodes import Episodes
from marl.remote.policy import RemotePolicy, wait_for
from marl.remote.replay import RemoteReplay
from marl.remote.shard import role
from marl.remote.spread import SpreadReplay
from marl.runs.actors import explorations, make_actors, make_games
from marl.runs.config import PHRASES_FILE, TrainConfig, load_config
from marl.runs.roster import find_partners
from transport.binding import client_keys
from transport.client import Client, ClientConfig
from transport.connection import Published
from transport.keys import ClientKeys
from transport.metrics import Figures, counter, watch

MADE = counter("acted", "Moves made and games finished by an actor.", "what")

THREADS = 2
"""Threads of an actor's process, each with games of its own: while one waits for its moves, the
games of the other are stepped."""


def play(
    run_dir: Path,
    number: int,
    stop: Callable[[], bool],
    *,
    actors: int,
    first: int = 0,
    shards: int = 0,
    keys: str | None = None,
) -> None:
    """An actor's process: two threads with games of their own.

    Args:
        run_dir: the run.
        number: the actor's.
        stop: asked at every move.
        actors: how many such processes share the games of the run.
        first: the share of the first of them; where more play than there are shares, as on machines
            that have joined, some play a share's like.
        shards: processes that hold replay; 0 for the learner.
        keys: the actor's file of keys, if the run has any.

    Raises:
        Exception: whatever ended one of the threads before it was time.
    """
    config = load_config(run_dir)
    own = client_keys(keys)
    mine = (first + number) % actors * THREADS
    replays = [role(k) for k in range(shards)] or ["replay"]
    errors: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            _Share(config, run_dir, mine + thread, actors * THREADS, stop, replays, own).play()
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=work, args=(thread,), name=f"games-{thread}", daemon=True)
        for thread in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    while not stop() and not errors and all(thread.is_alive() for thread in threads):
        time.sleep(0.05)
    for thread in threads if stop() else []:
        thread.join(1.0)
    if errors and not stop():
        raise errors[0]


class _Share:
    """Plays a share of the games, every setting in turn.

    Args:
        config: of the run.
        run_dir: where pool and replay are published.
        share: which share.
        shares: how many there are.
        stop: asked at every move.
        replays: the roles that sequences are handed over to.
        keys: the actor's, if the run has any.
    """

    def __init__(
        self,
        config: TrainConfig,
        run_dir: Path,
        share: int,
        shares: int,
        stop: Callable[[], bool],
        replays: Sequence[str] = ("replay",),
        keys: ClientKeys | None = None,
    ) -> None:
        self.config, self.run_dir, self.stop = config, run_dir, stop
        self.share, self.shares, self.replays, self.keys = share, shares, replays, keys
        self.moves = self.games = 0  # as told to the learner
        self.actors: list[Actor] = []
        watch(self)

    def measured(self) -> Iterator[Figures]:
        """Its figures, for an exporter."""
        moves = sum(actor.env_steps for actor in self.actors)
        games = sum(actor.episodes for actor in self.actors)
        yield MADE.of({"moves": moves, "games": games})

    def play(self) -> None:
        """Plays until it is to stop."""
        needed = ("pool", *self.replays)
        if any(wait_for(self.run_dir, role, self.stop) is None for role in needed):
            return
        pool, *tables = (Published(self.run_dir, role) for role in needed)
        # A learner that evaluates or saves is silent for a while.
        patient = ClientConfig(timeout=600.0, retry=5.0)
        replays = [
            RemoteReplay(Client(table, config=patient, keys=self.keys), stop=self.stop)
            for table in tables
        ]
        with (
            contextlib.closing(SpreadReplay(replays, self.stop)) as self.replay,
            RemotePolicy(
                Client(pool, config=ClientConfig(timeout=120.0), keys=self.keys)
            ) as policy,
        ):
            self.actors = self._actors(policy)
            while not self.stop():
                min(self.actors, key=lambda actor: (actor.env_steps, actor.setting)).step()

    def _actors(self, policy: RemotePolicy) -> list[Actor]:
        config, settings = self.config, self.config.settings()
        # An actor that takes the place of one that died is to play other games.
        entropy = np.random.SeedSequence([config.seed, self.share, secrets.randbits(32)])
        first, exploring = (int(s >> np.uint64(2)) for s in entropy.generate_state(2, np.uint64))
        numbers = range(len(settings))
        playing = make_games(config, [first + i * 2**40 for i in numbers], self.shares)
        book = shared([game.phrasebook for game in playing], self.run_dir / PHRASES_FILE)
        policy.require(book)
        answers = AnswerSheets()
        for game in playing if config.agent.own_hand else ():
            answers.add(Translation(game.phrasebook, book)(game.label_phrases))
        return make_actors(
            config,
            playing,
            policy,
            self._insert,
            explorations(config, [game.num_games for game in playing], self.share, self.shares),
            [exploring + i for i in numbers],
            answers=answers,
            book=book,
            partners=find_partners(config.partners, settings, playing),
        )

    def _insert(self, episodes: Episodes) -> None:
        moves = sum(actor.env_steps for actor in self.actors)
        games_over = sum(actor.episodes for actor in self.actors)
        self.replay.insert(episodes, moves - self.moves, games_over - self.games)
        self.moves, self.games = moves, games_over
