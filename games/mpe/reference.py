"""Players to measure against: at random, and near the optimum.

``python -m games.mpe.reference [NAME ...]`` prints what they earn. Planners look some steps ahead
through the physics, at each way to push at each step, one mover after the other (Bertsekas,
"Multiagent reinforcement learning: rollout and policy iteration", 2021), and judge what comes later
by where a mover would come to rest. In simple-spread each mover is given the landmark that makes
the sum of the ways least.

- :func:`told` knows the state of the games, goals included, from the first step on.
- :func:`by_text` knows what a seat's facts say. It speaks by a convention, a word a landmark, so
  that movers hear of their goals a step late. What else lies between the two is what sentences
  leave out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.mpe import engine
from games.mpe.batched import MpeBatched
from games.mpe.phrases import BLOCKS
from games.mpe.records import GAME, make_tables
from games.mpe.rules import (
    MAX_PLAYERS,
    MOVES,
    NAMES,
    REFERENCE,
    SPEAKER_LISTENER,
    SPREAD,
    MpeConfig,
    configure,
)
from games.mpe.view import UNSAID, read

Player = Callable[[MpeBatched], NDArray[np.int64]]
"""Chooses for all due rows of a batch: int64 [R], places in their choices."""

DEPTH = (3, 3, 4)
"""Steps that each game is planned ahead."""
TAIL = 4.0
"""Weight of the distance from where a mover would come to rest, in steps."""
OUT_OF_SIGHT = 99.0
"""Where those are taken to be of whom nothing is said."""
_COAST = engine.DT / engine.DAMPING


def random_player(seed: int) -> Player:
    """Chooses anything, each choice alike."""
    rng = np.random.default_rng(seed)

    def choose(batch: MpeBatched) -> NDArray[np.int64]:
        return (rng.random(len(batch.due_game)) * batch.choice_counts).astype(np.int64)

    return choose


def told(batch: MpeBatched) -> NDArray[np.int64]:
    """Plans by the state of the games; what is said means nothing."""
    ways = plan(batch.config, _records(batch.state()))
    way = ways[batch.due_game, batch.due_seat]
    return _choice(batch.config, batch.choice_counts, way, np.zeros(len(way), np.int64))


def by_text(batch: MpeBatched) -> NDArray[np.int64]:
    """Plans by what each seat's facts say, and says the goal that it sees: word k, landmark k."""
    return plan_by_text(batch.config, batch.facts, batch.choice_counts)


def plan_by_text(
    config: MpeConfig,
    facts: NDArray[np.int16],
    choice_counts: NDArray[np.int16],
    depth: int | None = None,
) -> NDArray[np.int64]:
    """What ``by_text`` chooses, from rows of facts and nothing else.

    Args:
        config: the setting.
        facts: int16 [R, F], padded rows of ids.
        choice_counts: int16 [R], choices of each row.
        depth: steps to look ahead; ``DEPTH`` by default.

    Returns:
        int64 [R], places in the choices.
    """
    views = read(facts)
    every = np.arange(len(facts))
    me = 1 if config.game == SPEAKER_LISTENER else 0  # of its two seats, one moves
    here = np.nan_to_num(views.said.position)
    rows = np.zeros(len(every), GAME)
    rows["position"][:, me] = here
    rows["velocity"][:, me] = np.nan_to_num(views.said.velocity)
    rows["landmark"] = _places(views.said.landmarks, here)
    if config.game == SPREAD:
        rows["position"][:, 1:] = _places(views.said.partners, here)
    else:
        # Who has heard nothing yet stays: its goal is a landmark that lies where it is.
        heard = views.heard > 0
        rows["goal"] = np.where(heard, views.heard - 1, MAX_PLAYERS - 1)[:, None]
        rows["landmark"][:, MAX_PLAYERS - 1] = here
    way = plan(config, rows, depth)[:, me]
    return _choice(config, choice_counts, way, np.maximum(views.goal, 0))


def plan_rows(
    facts: NDArray[np.int16],
    choices: NDArray[np.int16],
    choice_counts: NDArray[np.int16],
    depth: int | None = None,
) -> NDArray[np.int64]:
    """What ``plan_by_text`` chooses in rows of any settings, which are made out from the facts.

    Args:
        facts: int16 [R, F], padded rows of ids.
        choices: int16 [R, C], likewise.
        choice_counts: int16 [R].
        depth: steps to look ahead; ``DEPTH`` by default.

    Returns:
        int64 [R], places in the choices.

    Raises:
        ValueError: if a row holds other facts than those of these games.
    """
    views = read(facts)
    if (views.task == UNSAID).any():
        raise ValueError(f"these are not the facts of {', '.join(NAMES)}")
    found = np.zeros(len(facts), np.int64)
    for game in np.unique(views.task).tolist():
        rows = np.flatnonzero(views.task == game)
        players = 2
        if game == SPREAD:  # Where only the nearest are seen, there may be more of them.
            seen = [~np.isnan(of[rows, :, 0]) for of in (views.said.landmarks, views.said.partners)]
            players = max(int(seen[0].sum(1).max()), int(seen[1].sum(1).max()) + 1, 2)
        chained = game == REFERENCE and bool(choices[rows[0], 0] < BLOCKS["SAY_MOVE"].base)
        config = MpeConfig(game, players, chained=chained)
        found[rows] = plan_by_text(config, facts[rows], choice_counts[rows], depth)
    return found


def _places(seen: NDArray[np.float64], here: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places on the plane, by colour or, where that is said instead, by nearness."""
    by_name, by_nearness = np.split(seen, 2, axis=1)
    known = np.where(np.isnan(by_name), by_nearness, by_name) + here[:, None]
    return np.nan_to_num(known, nan=OUT_OF_SIGHT)


def _choice(
    config: MpeConfig,
    counts: NDArray[np.int16],
    way: NDArray[np.int64],
    word: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The places of choices that say a word, move, or do both."""
    if config.game == REFERENCE and not config.chained:
        return word * MOVES + way
    return np.where(counts == MOVES, way, word)


def _records(state: dict[str, NDArray[np.generic]]) -> NDArray[np.void]:
    games = np.zeros(len(state["seed"]), GAME)
    for name, array in state.items():
        games[name] = array
    return games


def plan(config: MpeConfig, games: NDArray[np.void], depth: int | None = None) -> NDArray[np.int64]:
    """Near-best ways to move for everybody.

    Args:
        config: the setting.
        games: GAME [N]; positions, velocities, landmarks and goals are looked at.
        depth: steps to look ahead; ``DEPTH`` by default.

    Returns:
        int64 [N, P], 0 to push nowhere, then west, east, south, north.
    """
    ways = np.zeros((len(games), config.players), np.int64)
    orders = np.array(list(permutations(range(config.landmarks))), np.int64)
    depth = DEPTH[config.game] if depth is None else depth
    _plan_all(games, make_tables(config), orders, depth, ways)
    return ways


@njit(cache=True, nogil=True)
def _rest(place: Any, speed: Any, target: Any) -> float:
    """How far from a target a mover would come to rest."""
    x = place[0] + speed[0] * _COAST - target[0]
    y = place[1] + speed[1] * _COAST - target[1]
    return np.sqrt(x * x + y * y)


@njit(cache=True, nogil=True)
def _assign(game: Any, t: Any, orders: NDArray[np.int64], target: NDArray[np.int64]) -> None:
    """Gives each mover the landmark it goes to, or -1."""
    if t.game == REFERENCE:
        target[0], target[1] = game.goal[1], game.goal[0]
    elif t.game == SPEAKER_LISTENER:
        target[0], target[1] = -1, game.goal[0]
    else:
        best = np.inf
        for order in orders:
            way = 0.0
            for a in range(t.players):
                way += _rest(game.position[a], game.velocity[a], game.landmark[order[a]])
            if way < best:
                best = way
                target[: t.players] = order


@njit(cache=True, nogil=True)
def _value(place: Any, speed: Any, game: Any, t: Any, a: int, target: Any, last: bool) -> float:
    """What the team earns by a step, as things stand after it; at the last, what is to come."""
    value = 0.0
    if t.game == SPREAD:
        value = engine.cover(place, game.landmark, t.players, t.landmarks) * (1 - t.local_ratio)
        if t.collision_penalty:
            for b in range(t.players):
                value -= engine.touching(place, t.players, b) * t.local_ratio / t.players
        if last:
            rest = 0.0
            for b in range(t.players):
                rest += _rest(place[b], speed[b], game.landmark[target[b]])
            value -= TAIL * rest * (1 - t.local_ratio)
        return value
    goal = game.landmark[target[a]]
    x, y = place[a, 0] - goal[0], place[a, 1] - goal[1]
    rest = _rest(place[a], speed[a], goal) if last else 0.0
    if t.game == SPEAKER_LISTENER:
        return -(x * x + y * y) - TAIL * rest * rest
    return -np.sqrt(x * x + y * y) - TAIL * rest


@njit(cache=True, nogil=True)
def _best(game: Any, t: Any, a: int, target: Any, depth: int, plans: Any, work: Any) -> None:
    """Finds the best sequence of pushes of one mover, given those of the others."""
    place, speed, force, total = work
    place[0], speed[0] = game.position, game.velocity
    total[0] = 0
    pushed = np.full(depth, -1)
    found = plans[a].copy()
    best = -np.inf
    level = 0
    while level >= 0:
        pushed[level] += 1
        if pushed[level] == MOVES:
            pushed[level] = -1
            level -= 1
            continue
        below = level + 1
        place[below], speed[below] = place[level], speed[level]
        for b in range(t.players):
            engine.push(force[b], pushed[level] if b == a else plans[b, level])
        engine.move(place[below], speed[below], force, t.players, t.game == SPREAD)
        last = below == depth
        total[below] = total[level] + _value(place[below], speed[below], game, t, a, target, last)
        if not last:
            level += 1
        elif total[below] > best:
            best = total[below]
            found[:] = pushed
    plans[a] = found


@njit(cache=True, nogil=True)
def _plan_all(games: Any, t: Any, orders: Any, depth: int, ways: NDArray[np.int64]) -> None:
    target = np.zeros(MAX_PLAYERS, np.int64)
    work = (
        np.zeros((depth + 1, MAX_PLAYERS, 2)),
        np.zeros((depth + 1, MAX_PLAYERS, 2)),
        np.zeros((MAX_PLAYERS, 2)),
        np.zeros(depth + 1),
    )
    for i in range(len(games)):
        game = games[i]
        _assign(game, t, orders, target)
        plans = np.zeros((t.players, depth), np.int64)
        for _ in range(2 if t.game == SPREAD else 1):
            for a in range(t.players):
                if target[a] >= 0:
                    _best(game, t, a, target, depth, plans, work)
        ways[i] = plans[:, 0]


def returns(config: MpeConfig, player: Player, games: int, seed: int) -> NDArray[np.float32]:
    """Returns of one episode of each of some games, float32 [N]."""
    batch = MpeBatched(config, games, seed, restart=False)
    while len(batch.due_game):
        step = batch.step(player(batch))
    return step.outcome["return"]


def main(args: Sequence[str]) -> None:
    """Prints what each player earns in some games (all by default): mean and standard error."""
    games, seed = 1000, 1
    for name in args or NAMES:
        config = configure(name, 3 if name == NAMES[SPREAD] else 2, {})
        for title, player in (("random", random_player(0)), ("told", told), ("by text", by_text)):
            found = returns(config, player, games, seed)
            error = found.std() / np.sqrt(games)
            print(f"{name}, {games} games, {title}: {found.mean():.2f} ± {error:.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
