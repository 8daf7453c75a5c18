"""The particle engine: numba kernels over one record per game.

:func:`start` starts games and :func:`advance` makes the moves of all due seats; what is shown of it
is written by ``games.mpe.shown``.

The arithmetic is ``mpe2``'s, operation by operation and in its order, in float64: what is equal
there is equal here, up to the last bits of a library's exponential.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.chance import GOLDEN, mix
from games.mpe.records import Games, Ids, Int
from games.mpe.rules import MAX_PLAYERS, MOVES, REFERENCE, SPEAKER_LISTENER, SPREAD

DT, DAMPING, PUSH = 0.1, 0.25, 5.0
"""Seconds of a step, the share of speed lost in it, and the force of a push; masses are 1."""
SIZE, CONTACT, MARGIN = 0.15, 100.0, 0.001
"""Radius of a mover in simple-spread, force of contact, and how far before contact it begins."""
REACH = 0.1
"""Distance at which a landmark counts as covered."""


class Result(NamedTuple):
    """What moves brought, as ``Step`` describes it."""

    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    over: NDArray[np.bool_]
    elapsed: NDArray[np.int32]
    returned: NDArray[np.float32]


@njit(cache=True, nogil=True)
def distance(a: Any, b: Any) -> float:
    """Between two points."""
    x, y = a[0] - b[0], a[1] - b[1]
    return np.sqrt(x * x + y * y)


@njit(cache=True, nogil=True)
def move(position: Any, velocity: Any, force: Any, players: Int, collide: bool) -> None:
    """Lets a step go by.

    Args:
        position: float64 [P, 2].
        velocity: float64 [P, 2].
        force: float64 [P, 2], what each mover pushes with; contacts are added to it.
        players: P.
        collide: whether movers push each other away.
    """
    if collide:
        for a in range(players):
            for b in range(a + 1, players):
                apart = distance(position[a], position[b])
                if apart == 0:
                    continue  # no direction to push in; mpe2 goes on with what is no number
                # A smooth step: log(1 + exp(x)), computed as numpy.logaddexp does.
                x = -(apart - 2 * SIZE) / MARGIN
                over = x + np.log1p(np.exp(-x)) if x > 0 else np.log1p(np.exp(x))
                for axis in range(2):
                    delta = position[a, axis] - position[b, axis]
                    contact = CONTACT * delta / apart * (over * MARGIN)
                    force[a, axis] += contact
                    force[b, axis] -= contact
    for a in range(players):
        for axis in range(2):
            position[a, axis] += velocity[a, axis] * DT
            velocity[a, axis] = velocity[a, axis] * (1 - DAMPING) + force[a, axis] * DT


@njit(cache=True, nogil=True)
def cover(position: Any, landmark: Any, players: Int, landmarks: Int) -> float:
    """The team's reward in simple-spread: distances of landmarks from who is nearest, negative."""
    total = 0.0
    for k in range(landmarks):
        nearest = np.inf
        for a in range(players):
            nearest = min(nearest, distance(position[a], landmark[k]))
        total -= nearest
    return total


@njit(cache=True, nogil=True)
def touching(position: Any, players: Int, seat: Int) -> Int:
    """How many others a mover touches in simple-spread."""
    count = 0
    for other in range(players):
        count += other != seat and distance(position[other], position[seat]) < 2 * SIZE
    return count


@njit(cache=True, nogil=True)
def reward(game: Any, t: Any, out: Any) -> None:
    """Writes each seat's reward for a step, as things stand after it.

    Args:
        game: record of GAME.
        t: record of TABLES.
        out: float64 [>= P].
    """
    position, landmark, ratio = game.position, game.landmark, t.local_ratio
    if t.game == SPEAKER_LISTENER:
        x = position[1, 0] - landmark[game.goal[0], 0]
        y = position[1, 1] - landmark[game.goal[0], 1]
        out[0] = out[1] = -(x * x + y * y)
    elif t.game == REFERENCE:
        first = -distance(position[1], landmark[game.goal[0]])
        second = -distance(position[0], landmark[game.goal[1]])
        team = (first + second) / 2 * (1 - ratio)
        out[0] = team + first * ratio
        out[1] = team + second * ratio
    else:
        team = cover(position, landmark, t.players, t.landmarks) * (1 - ratio)
        for seat in range(t.players):
            own = -float(touching(position, t.players, seat)) if t.collision_penalty else 0.0
            out[seat] = team + own * ratio


@njit(cache=True, nogil=True)
def _covered(game: Any, t: Any) -> bool:
    for k in range(t.landmarks):
        reached = False
        for a in range(t.players):
            reached |= distance(game.position[a], game.landmark[k]) < REACH
        if not reached:
            return False
    return True


@njit(cache=True, nogil=True)
def _random(seed: Any, draw: Int) -> float:
    """The draw-th number in [0, 1) of an episode (SplitMix64, Vigna 2015)."""
    z = mix(seed * np.uint64(0xD1342543DE82EF95) + np.uint64(draw + 1) * GOLDEN)
    return float(z >> np.uint64(11)) / 9007199254740992.0  # 2**53


@njit(cache=True, nogil=True)
def _start(game: Any, t: Any, seed: Any) -> None:
    """Starts an episode."""
    game.seed, game.cycle, game.over = seed, 0, False
    draw = 0
    for seat in range(MAX_PLAYERS):
        game.earned[seat] = 0
        for axis in range(2):
            game.velocity[seat, axis] = 0
            game.position[seat, axis] = 2 * _random(seed, draw) - 1 if seat < t.players else 0
            game.landmark[seat, axis] = 2 * _random(seed, draw + 1) - 1 if seat < t.landmarks else 0
            draw += 2
    for seat in range(2):
        game.said[seat] = game.saying[seat] = -1
        sees_goal = t.game == REFERENCE or (t.game == SPEAKER_LISTENER and seat == 0)
        game.goal[seat] = int(_random(seed, draw + seat) * t.landmarks) if sees_goal else -1


@njit(cache=True, nogil=True)
def start(games: Games, t: Any, seeds: NDArray[np.uint64]) -> None:
    """Starts every game.

    Args:
        games: GAME [N].
        t: TABLES, a record.
        seeds: uint64 [N].
    """
    for i in range(len(games)):
        _start(games[i], t, seeds[i])


@njit(cache=True, nogil=True)
def push(force: Any, choice: Int) -> None:
    """The force of a way to move: 0 none, 1 west, 2 east, 3 south, 4 north."""
    force[0] = PUSH * ((choice == 2) - (choice == 1))
    force[1] = PUSH * ((choice == 4) - (choice == 3))


@njit(cache=True, nogil=True)
def act(game: Any, t: Any, moves: Any, force: Any) -> bool:
    """Takes in the choices of a game's seats.

    Args:
        game: record of GAME.
        t: record of TABLES.
        moves: int64 [P], places in the seats' lists of choices.
        force: float64 [>= P, 2], overwritten with what each seat pushes with.

    Returns:
        whether a step goes by; not after the first half of a chain of choices.
    """
    for seat in range(t.players):
        choice, way = moves[seat], moves[seat]
        if t.game == SPEAKER_LISTENER and seat == 0:
            game.said[0], way = choice, 0
        elif t.game == REFERENCE:
            if not t.chained:
                game.said[seat], way = choice // MOVES, choice % MOVES
            elif game.saying[seat] < 0:
                game.saying[seat] = choice
                continue
            else:
                game.said[seat], game.saying[seat] = game.saying[seat], -1
        push(force[seat], way)
    return not t.chained or game.saying[0] < 0


@njit(cache=True, nogil=True)
def advance(
    games: Games, t: Any, moves: NDArray[np.int64], counts: Ids, restart: bool, result: Result
) -> Int:
    """Makes the moves of all due seats.

    Args:
        games: GAME [N].
        t: TABLES, a record.
        moves: int64 [R], places in the rows of choices.
        counts: int16 [>= R], choices in each row.
        restart: whether finished games start again, with seed + N.
        result: what to write about the moves, full of zeros.

    Returns:
        -1, or the first row whose move is no place in its choices: then nothing has moved.
    """
    rewards, terminated, truncated, over, elapsed, returned = result
    for r in range(len(moves)):
        if moves[r] < 0 or moves[r] >= counts[r]:
            return r
    force, brought = np.empty((MAX_PLAYERS, 2)), np.empty(MAX_PLAYERS)
    players = t.players
    r = 0
    for i in range(len(games)):
        game = games[i]
        if not game.over:
            passed = act(game, t, moves[r : r + players], force)
            r += players
            if passed:
                move(game.position, game.velocity, force, players, t.game == SPREAD)
                game.cycle += 1
                elapsed[i] = 1
                reward(game, t, brought)
                cut = game.cycle >= t.max_cycles
                done = not cut and t.terminate_on_success and _covered(game, t)
                for seat in range(players):
                    rewards[i, seat] = brought[seat]
                    game.earned[seat] += brought[seat]
                    terminated[i, seat], truncated[i, seat] = done, cut
                game.over = over[i] = cut or done
        total = 0.0
        for seat in range(players):
            total += game.earned[seat]
        returned[i] = total / players
        if restart and over[i]:
            _start(game, t, game.seed + np.uint64(len(games)))
    return -1
