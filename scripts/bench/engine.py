"""The engines of all games: random steps per second on one core, beside the engines there are.

A step is a move of a game of turns, or one of everybody where all move at once. Ours includes what
agents need at every step: facts and legal choices, as ids. Choices are drawn outside the engine, by
NumPy. The peers play one game at a time (JaxMARL: as many at once as ours) and say in their row
what they produce. All are measured in the same run, one after another, on one and the same core.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from pettingzoo import AECEnv

import games
from games.hanabi import HanabiBatched, belief, configure
from games.hanabi.engine import GAME, make_tables
from games.zoo import STOCK
from scripts.bench import Row, rate

NUM_GAMES = 1024
"""Games in a batch: rows of about 1 MB, which stay in a core's own cache."""

COPIES = 8
"""Environments of PettingZoo in a batch: they are stepped one by one, so that more gain nothing."""

CHUNK = 64
"""Steps a peer makes in one call, so that the clock is not what is measured."""

Play = Callable[[], object]


def batch_size(setting: str) -> int:
    """Games in a batch of ours: few where each is an environment of PettingZoo."""
    return COPIES if setting in STOCK else NUM_GAMES


def ours(setting: str) -> Play:
    """One call makes a step in every game of a batch."""
    batch = games.batched(setting, batch_size(setting), seed=0)
    rng = np.random.default_rng(0)

    def play() -> None:
        moves = rng.random(len(batch.due_game), np.float32) * batch.choice_counts
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


def mpe2(name: str) -> Play:
    """A particle game of mpe2, as a parallel environment: vectors for all."""
    env = importlib.import_module(f"mpe2.{name}").parallel_env()
    rng = random.Random(0)
    env.reset(seed=0)
    choices = {agent: env.action_space(agent).n for agent in env.possible_agents}

    def play() -> None:
        for _ in range(CHUNK):
            env.step({agent: rng.randrange(n) for agent, n in choices.items()})
            if not env.agents:
                env.reset()

    return play


def jaxmarl(name: str, **options: int) -> Play:
    """A game of JaxMARL's, compiled and batched: one call makes NUM_GAMES steps."""
    import jax
    import jax.numpy as jnp
    import jaxmarl as library

    env = library.make(name, **options)
    reset = jax.jit(jax.vmap(env.reset))

    def choose(key: jax.Array, state: object) -> dict[str, jax.Array]:
        keys = {agent: jax.random.fold_in(key, seat) for seat, agent in enumerate(env.agents)}
        if not hasattr(env, "get_legal_moves"):
            return {agent: env.action_space(agent).sample(keys[agent]) for agent in env.agents}
        legal = env.get_legal_moves(state)
        return {
            agent: jax.random.categorical(keys[agent], jnp.where(legal[agent], 0.0, -jnp.inf))
            for agent in env.agents
        }

    def move(key: jax.Array, state: object) -> tuple[jax.Array, object]:
        draw, step = jax.random.split(key)
        # Restarts finished games.
        observation, state, *_ = env.step(step, state, choose(draw, state))
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


def stock(name: str) -> Play:
    """An environment of PettingZoo's, as it comes: its own Parallel API and observations."""
    import pettingzoo

    env = pettingzoo.make("parallel", STOCK[name].id)
    rng = random.Random(0)
    env.reset(seed=0)
    actions = {agent: int(env.action_space(agent).n) for agent in env.possible_agents}

    def play() -> None:
        for _ in range(CHUNK):
            env.step({agent: rng.randrange(actions[agent]) for agent in env.agents})
            if not env.agents:
                env.reset()

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


@dataclass(frozen=True)
class Subject:
    """What is measured: ``make()`` gives a call that makes ``steps`` steps."""

    make: Callable[[], Play]
    steps: int

    def rate(self, seconds: float) -> float:
        """Steps per second."""
        return rate(self.make(), seconds) * self.steps


@dataclass(frozen=True)
class Peer:
    """Somebody else's engine: the module it needs, and what a step of it gives."""

    name: str
    module: str
    gives: str
    subject: Subject


def _hanabi(players: int) -> tuple[Peer, ...]:
    learning_environment = "hanabi_learning_environment"
    return (
        Peer(
            "rl_env",
            learning_environment,
            "observations",
            Subject(lambda: rl_env(players), CHUNK),
        ),
        Peer(
            "pyhanabi",
            learning_environment,
            "no facts",
            Subject(lambda: pyhanabi(players), CHUNK),
        ),
        Peer(
            "OpenSpiel", "pyspiel", "no facts", Subject(lambda: open_spiel(players, False), CHUNK)
        ),
        Peer("OpenSpiel", "pyspiel", "text", Subject(lambda: open_spiel(players, True), CHUNK)),
        _jaxmarl("hanabi", num_agents=players),
    )


def _particles(name: str) -> tuple[Peer, ...]:
    return (
        Peer("mpe2", "mpe2", "vectors", Subject(lambda: mpe2(name), CHUNK)),
        _jaxmarl(f"MPE_{name}"),
    )


def _jaxmarl(name: str, **options: int) -> Peer:
    subject = Subject(lambda: jaxmarl(name, **options), NUM_GAMES)
    return Peer("JaxMARL", "jaxmarl", "vectors, compiled", subject)


def peers() -> dict[str, tuple[Peer, ...]]:
    """Settings of every game, each with the peers that play it."""
    known = {
        "hanabi:2": _hanabi(2),
        "hanabi:5": _hanabi(5),
        "simple-reference": _particles("simple_reference_v3"),
        "simple-speaker-listener": _particles("simple_speaker_listener_v4"),
        "simple-spread": _particles("simple_spread_v3"),
    }
    if importlib.util.find_spec("pygame") is not None:
        for name in STOCK:
            subject = Subject(partial(stock, name), CHUNK)
            known[name] = (Peer("PettingZoo", "pygame", "its own observations", subject),)
    alone = games.GAMES.keys() - STOCK.keys() - {name.partition(":")[0] for name in known}
    alone.discard("gameboy")  # plays a cartridge that somebody has to bring
    return known | dict.fromkeys(sorted(alone), ())


def run(seconds: float) -> Iterator[Row]:
    """Measures ours and every installed peer: each game, PettingZoo's Hanabi; then beliefs."""
    known = peers()
    share = seconds / (len(known) + sum(map(len, known.values())) + 7)
    with one_core(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' own deprecations
        for setting, others in known.items():
            yield from _batched(setting, others, share)
        for players in (2, 5):
            yield from _environments(players, share)
        for players in (2, 3, 5):
            yield from _worlds(players, share)


def _batched(setting: str, others: tuple[Peer, ...], seconds: float) -> Iterator[Row]:
    what = f"{setting}, random play"
    size = batch_size(setting)
    mine = Subject(lambda: ours(setting), size)
    value = mine.rate(seconds)
    yield Row(f"{what}, facts and choices, {size} games at once", value, "steps/s")
    for peer in others:
        yield _compare(f"{what}, {peer.gives}", mine, peer, seconds)


def _environments(players: int, seconds: float) -> Iterator[Row]:
    what = f"PettingZoo, hanabi:{players}"
    mine = Subject(lambda: aec(games.make("hanabi", players=players)), CHUNK)
    yield Row(f"{what}, facts, mask and text", mine.rate(seconds), "steps/s")

    def theirs() -> Play:
        import pettingzoo

        hand = 5 if players < 4 else 4
        return aec(pettingzoo.make("aec", "classic/hanabi-v5", players=players, hand_size=hand))

    peer = Peer("hanabi_v5", "shimmy", "vector and mask", Subject(theirs, CHUNK))
    yield _compare(f"{what}, {peer.gives}", mine, peer, seconds)


def _worlds(players: int, seconds: float) -> Iterator[Row]:
    """What a world costs of the acting seat's belief, amid games, beside copying a game for it."""
    config = configure(players=players)
    batch, rng = HanabiBatched(config, NUM_GAMES), np.random.default_rng(0)
    for _ in range(15):
        batch.step((rng.random(NUM_GAMES) * batch.choice_counts).astype(np.int64))
    records = np.zeros(NUM_GAMES, GAME)
    for name, values in batch.state().items():
        records[name] = values
    seats, tables = batch.seat.astype(np.int64), make_tables(config)
    seeds = np.arange(NUM_GAMES, dtype=np.uint64)

    def draw() -> None:
        belief.sample(records, tables, seats, seeds)
        np.add(seeds, np.uint64(NUM_GAMES), out=seeds)

    what = f"hanabi:{players}, a world of the acting seat's belief"
    for does, call, share in (
        ("hand and deck drawn", draw, 0.4),
        ("copying the game for it", lambda: records.copy(), 0.2),
        ("both, with facts and choices", lambda: batch.worlds(seats, seeds), 0.4),
    ):
        yield Row(f"{what}, {does}", 1e6 / rate(call, seconds * share) / NUM_GAMES, "us")


def _compare(what: str, mine: Subject, peer: Peer, seconds: float) -> Row:
    """A peer's row. Ours is measured again right before and after it: machines have moods."""
    if importlib.util.find_spec(peer.module) is None:
        return Row(what, None, "not installed", against=peer.name)
    before = mine.rate(seconds / 4)
    value = peer.subject.rate(seconds / 2)
    after = mine.rate(seconds / 4)
    ratio = (before + after) / 2 / value
    return Row(what, value, "steps/s", against=peer.name, ratio=ratio)
