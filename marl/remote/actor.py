"""An actor's process: plays games through the pool, and hands what was played to replay."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from games.other_play import OtherPlay
from games.text import shared
from marl.acting.actor import (
    Actor,
    exploration_spectrum,
    spread_over,
    temperature_spectrum,
)
from marl.episodes import Episodes
from marl.remote.policy import RemotePolicy, wait_for
from marl.remote.replay import RemoteReplay
from marl.runs.config import PHRASES_FILE, TrainConfig, load_config
from marl.runs.roster import find_partners
from marl.runs.serial import TRAINING_SEED
from transport.client import Client, ClientConfig

THREADS = 2
"""Threads of an actor's process, each with games of its own: while one waits for its moves, the
games of the other are stepped."""


def play(run_dir: Path, number: int, stop: Callable[[], bool], *, actors: int) -> None:
    """An actor's process: two threads with games of their own.

    Args:
        run_dir: the run.
        number: the actor's.
        stop: asked at every move.
        actors: how many such processes there are.

    Raises:
        Exception: whatever ended one of the threads before it was time.
    """
    config = load_config(run_dir)
    errors: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            _Share(config, run_dir, number * THREADS + thread, actors * THREADS, stop).play()
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
    """

    def __init__(
        self, config: TrainConfig, run_dir: Path, share: int, shares: int, stop: Callable[[], bool]
    ) -> None:
        self.config, self.run_dir, self.stop = config, run_dir, stop
        self.share, self.shares = share, shares
        self.moves = self.games = 0  # as told to the learner

    def play(self) -> None:
        """Plays until it is to stop."""
        pool = wait_for(self.run_dir, "pool", self.stop)
        table = wait_for(self.run_dir, "replay", self.stop)
        if pool is None or table is None:
            return
        # A learner that evaluates or saves is silent for a while.
        patient = ClientConfig(timeout=600.0, retry=5.0)
        with (
            contextlib.closing(Client(table, config=patient)) as replay_client,
            RemotePolicy(Client(pool, config=ClientConfig(timeout=120.0))) as policy,
        ):
            self.replay = RemoteReplay(replay_client, stop=self.stop)
            self.actors = self._actors(policy)
            while not self.stop():
                min(self.actors, key=lambda actor: (actor.env_steps, actor.setting)).step()

    def _actors(self, policy: RemotePolicy) -> list[Actor]:
        config, settings = self.config, self.config.settings()
        num_games = max(config.actor.num_games // (len(settings) * self.shares), 1)
        spectrum = exploration_spectrum(
            num_games * self.shares, config.actor.epsilon, config.actor.epsilon_spread
        )
        temperatures = temperature_spectrum(
            num_games * self.shares, config.actor.temperature, config.actor.temperature_spread
        )
        # An actor that takes the place of one that died is to play other games.
        entropy = np.random.SeedSequence([config.seed, self.share, secrets.randbits(32)])
        seeds = [int(seed >> np.uint64(2)) for seed in entropy.generate_state(8, np.uint64)]
        playing = [
            setting.batched(min(num_games, setting.at_once), TRAINING_SEED + seeds[0] + i * 2**40)
            for i, setting in enumerate(settings)
        ]
        book = shared([game.phrasebook for game in playing], self.run_dir / PHRASES_FILE)
        policy.require(book)
        partners = find_partners(config.partners, settings, playing)
        hand = max(game.labels.shape[1] for game in playing)
        return [
            Actor(
                OtherPlay(game, seeds[1]) if config.actor.other_play else game,
                policy,
                self._insert,
                spread_over(spectrum[self.share :: self.shares], game.num_games),
                seeds[2] + setting,
                setting=setting,
                max_length=config.replay.max_length,
                overlap=config.learner.burn_in,
                label_size=hand if config.agent.own_hand else 0,
                temperatures=spread_over(temperatures[self.share :: self.shares], game.num_games),
                partners=partners,
                seating=config.partners.seating(game.num_players) if partners else None,
                book=book,
            )
            for setting, game in enumerate(playing)
        ]

    def _insert(self, episodes: Episodes) -> None:
        moves = sum(actor.env_steps for actor in self.actors)
        games_over = sum(actor.episodes for actor in self.actors)
        self.replay.insert(episodes, moves - self.moves, games_over - self.games)
        self.moves, self.games = moves, games_over
