"""The Hanabi engine: legal random moves per second on one core, beside the engines there are.

Ours includes what an agent needs at every move: the facts and the legal choices, as ids. Random
moves are drawn outside the engine, by NumPy. The peers play one game at a time (JaxMARL: as many
at once as ours) and say in their row what they produce. All are measured in the same run, one
after another, on one and the same core.
"""

from __future__ import annotations

import importlib.util
import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from pettingzoo import AECEnv

import games
from scripts.bench import Row, rate

NUM_GAMES = 1024
"""Games in a batch: rows of about 1 MB, which stay in a core's own cache."""

CHUNK = 64
"""Moves a peer makes in one call, so that the clock is not what is measured."""

Play = Callable[[], object]


def ours(players: int) -> Play:
    """One call makes NUM_GAMES moves."""
    batch = games.batched("hanabi", players=players, num_games=NUM_GAMES, seed=0)
    rng = np.random.default_rng(0)

    def play() -> None:
        moves = rng.random(NUM_GAMES, np.float32) * batch.choice_counts
        batch.step(moves.astype(np.int64))

    return play


def rl_env(players: int) -> Play:
    """hanabi-learning-environment through its gym-like interface: dicts and vectors for all."""
    from hanabi_learning_environment import rl_env as reference

    env = reference.make("Hanabi-Full", num_players=players)
    rng = random.Random(0)
    observation = env.reset()

    def play() -> None:
        nonlocal observation
        for _ in range(CHUNK):
            seat = observation["current_player"]
            legal = observation["player_observations"][seat]["legal_moves"]
            observation, _, done, _ = env.step(rng.choice(legal))
            if done:
                observation = env.reset()

    return play


def pyhanabi(players: int) -> Play:
    """hanabi-learning-environment's bare bindings: legal moves, no observation."""
    from hanabi_learning_environment import pyhanabi as reference

    game = reference.HanabiGame({"players": players, "random_start_player": False, "seed": 1})
    rng = random.Random(0)
    state = game.new_initial_state()

    def play() -> None:
        nonlocal state
        moves = 0
        while moves < CHUNK:
            if state.is_terminal():
                state = game.new_initial_state()
            elif state.cur_player() == reference.CHANCE_PLAYER_ID:
                state.deal_random_card()
            else:
                state.apply_move(rng.choice(state.legal_moves()))
                moves += 1

    return play


def open_spiel(players: int, text: bool) -> Play:
    """OpenSpiel: legal actions, with or without the acting seat's observation as a string."""
    import pyspiel

    game = pyspiel.load_game("hanabi", {"players": players})
    rng = random.Random(0)
    state = game.new_initial_state()

    def play() -> None:
        nonlocal state
        moves = 0
        while moves < CHUNK:
            if state.is_terminal():
                state = game.new_initial_state()
            elif state.is_chance_node():
                cards, chances = zip(*state.chance_outcomes(), strict=True)
                state.apply_action(rng.choices(cards, chances)[0])
            else:
                if text:
                    state.observation_string(state.current_player())
                state.apply_action(rng.choice(state.legal_actions()))
                moves += 1

    return play


def aec(env: AECEnv) -> Play:
    """A PettingZoo environment, as its users drive it: last, choose, step."""
    rng = random.Random(0)
    env.reset(seed=0)

    def play() -> None:
        moves = 0
        while moves < CHUNK:
            observation, _, terminated, truncated, _ = env.last()
            if terminated or truncated:
                env.reset()
                continue
            env.step(rng.choice(np.flatnonzero(observation["action_mask"]).tolist()))
            moves += 1

    return play


def jaxmarl(players: int) -> Play:
    """JaxMARL's Hanabi, compiled and batched: one call makes NUM_GAMES moves."""
    import jax
    import jax.numpy as jnp
    import jaxmarl as library

    env = library.make("hanabi", num_agents=players)
    reset = jax.jit(jax.vmap(env.reset))

    def move(key: jax.Array, state: object) -> tuple[jax.Array, object]:
        draw, step = jax.random.split(key)
        legal = env.get_legal_moves(state)
        actions = {
            agent: jax.random.categorical(
                jax.random.fold_in(draw, seat), jnp.where(legal[agent], 0.0, -jnp.inf)
            )
            for seat, agent in enumerate(env.agents)
        }
        observation, state, *_ = env.step(step, state, actions)  # restarts finished games
        return observation, state

    advance = jax.jit(jax.vmap(move))
    key = jax.random.PRNGKey(0)
    _, state = reset(jax.random.split(key, NUM_GAMES))

    def play() -> None:
        nonlocal key, state
        key, draw = jax.random.split(key)
        observation, state = advance(jax.random.split(draw, NUM_GAMES), state)
        jax.block_until_ready(observation)

    play()  # Compiles for what reset returns; the first call after it, for what a step returns.
    return play


@contextmanager
def one_core() -> Iterator[None]:
    """Keeps this process to one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def run(seconds: float) -> Iterator[Row]:
    """Measures ours and every peer that is installed, at two and at five players."""
    with one_core(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' own deprecations
        share = seconds / 16
        for players in (2, 5):
            yield from _batched(players, share)
        for players in (2, 5):
            yield from _environments(players, share)


@dataclass(frozen=True)
class Subject:
    """What is measured: ``make()`` gives a call that makes ``moves`` moves."""

    make: Callable[[], Play]
    moves: int

    def rate(self, seconds: float) -> float:
        """Moves per second."""
        return rate(self.make(), seconds) * self.moves


def _batched(players: int, seconds: float) -> Iterator[Row]:
    what, unit = f"legal random play, {players} players", "moves/s"
    mine = Subject(lambda: ours(players), NUM_GAMES)
    value = mine.rate(seconds)
    yield Row(f"{what}, facts and choices, {NUM_GAMES} games at once", value, unit)
    for name, module, gives, theirs in (
        (
            "rl_env",
            "hanabi_learning_environment",
            "observations",
            Subject(lambda: rl_env(players), CHUNK),
        ),
        (
            "pyhanabi",
            "hanabi_learning_environment",
            "no facts",
            Subject(lambda: pyhanabi(players), CHUNK),
        ),
        ("OpenSpiel", "pyspiel", "no facts", Subject(lambda: open_spiel(players, False), CHUNK)),
        ("OpenSpiel", "pyspiel", "text", Subject(lambda: open_spiel(players, True), CHUNK)),
        ("JaxMARL", "jaxmarl", "vectors, compiled", Subject(lambda: jaxmarl(players), NUM_GAMES)),
    ):
        yield _compare(f"{what}, {gives}", unit, mine, name, module, theirs, seconds)


def _environments(players: int, seconds: float) -> Iterator[Row]:
    what, unit = f"PettingZoo, {players} players", "turns/s"
    mine = Subject(lambda: aec(games.make("hanabi", players=players)), CHUNK)
    yield Row(f"{what}, facts, mask and text", mine.rate(seconds), unit)

    def theirs() -> Play:
        import pettingzoo

        hand = 5 if players < 4 else 4
        return aec(pettingzoo.make("aec", "classic/hanabi-v5", players=players, hand_size=hand))

    yield _compare(
        f"{what}, vector and mask",
        unit,
        mine,
        "hanabi_v5",
        "shimmy",
        Subject(theirs, CHUNK),
        seconds,
    )


def _compare(
    what: str, unit: str, mine: Subject, name: str, module: str, theirs: Subject, seconds: float
) -> Row:
    """A peer's row. Ours is measured again right before and after it: machines have moods."""
    if importlib.util.find_spec(module) is None:
        return Row(what, None, "not installed", against=name)
    before = mine.rate(seconds / 4)
    value = theirs.rate(seconds / 2)
    after = mine.rate(seconds / 4)
    return Row(what, value, unit, against=name, ratio=(before + after) / 2 / value)
