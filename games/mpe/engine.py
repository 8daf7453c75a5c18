"""The particle engine: numba kernels over one record per game.

A game is one record of ``GAME``; thousands of them lie in one array, so saving and restoring is a
copy. :func:`start` starts games, :func:`advance` makes the moves of all due seats, :func:`show`
writes what due seats observe, :func:`observe` what any seat does.

The arithmetic is ``mpe2``'s, operation by operation and in its order, in float64: what is equal
there is equal here, up to the last bits of a library's exponential.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.chance import GOLDEN, mix
from games.mpe import phrases
from games.mpe.phrases import BLOCKS, PLACES, SPEEDS
from games.mpe.rules import MAX_PLAYERS, MOVES, REFERENCE, SPEAKER_LISTENER, SPREAD, MpeConfig
from games.text import PAD

GAME = np.dtype(
    [
        ("seed", np.uint64),  # of the episode being played
        ("position", np.float64, (MAX_PLAYERS, 2)),
        ("velocity", np.float64, (MAX_PLAYERS, 2)),
        ("landmark", np.float64, (MAX_PLAYERS, 2)),
        ("earned", np.float64, MAX_PLAYERS),  # each seat's rewards, added up
        ("cycle", np.int32),  # steps made so far
        ("goal", np.int8, 2),  # the landmark that each seat sees the other has to reach, or -1
        ("said", np.int8, 2),  # the word of each seat's latest step, or -1
        ("saying", np.int8, 2),  # the first half of a chain of choices, or -1
        ("over", np.bool_),
    ],
    align=True,
)
Games = NDArray[np.void]  # of GAME
Ids = NDArray[np.int16]
Int = Any  # int64 to numba

_SAID = ("TASK", "GOAL", "HEARD", "SAYING", "MINE")
_MEASURED = ("SPEED", "PLACE", "LANDMARK", "PARTNER")
_PLACE_TABLE, _SPEED_TABLE = PLACES.tables(), SPEEDS.tables()

TABLES = np.dtype(
    [
        ("game", np.int64),
        ("players", np.int64),
        ("landmarks", np.int64),
        ("max_cycles", np.int64),
        ("local_ratio", np.float64),
        ("chained", np.bool_),
        ("terminate_on_success", np.bool_),
        ("collision_penalty", np.bool_),
        ("by_distance", np.int8, 2),  # whether landmarks, partners are named by nearness
        ("seen", np.int64, 2),  # how many of them are seen
        # Ids, so that compiled kernels hold none: first sentences of blocks; of those for amounts
        # the ones for 0.
        *[(name.lower(), np.int64) for name in _SAID],
        *[(name.lower(), np.int64, 2) for name in _MEASURED],
        ("places", np.int16, _PLACE_TABLE.shape),
        ("speeds", np.int16, _SPEED_TABLE.shape),
        ("place_sizes", np.int64, 2),
        ("speed_sizes", np.int64, 2),
    ],
    align=True,
)
"""A setting in the form that kernels read: one record, so that a call passes one pointer."""


class Rows(NamedTuple):
    """What due seats are shown, a row each, as ``BatchedGame`` describes it."""

    game: NDArray[np.int32]
    seat: NDArray[np.int8]
    facts: Ids
    fact_counts: Ids
    choices: Ids
    choice_counts: Ids
    labels: NDArray[np.int8]


class Result(NamedTuple):
    """What moves brought, as ``Step`` describes it."""

    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    over: NDArray[np.bool_]
    elapsed: NDArray[np.int32]
    returned: NDArray[np.float32]


def make_tables(config: MpeConfig) -> np.void:
    """Prepares a setting for the kernels: one record of ``TABLES``."""
    t = np.zeros(1, TABLES)[0]
    t["game"], t["players"], t["landmarks"] = config.game, config.players, config.landmarks
    t["max_cycles"], t["local_ratio"] = config.max_cycles, config.local_ratio
    t["chained"], t["collision_penalty"] = config.chained, config.collision_penalty
    t["terminate_on_success"] = config.terminate_on_success
    t["by_distance"] = (
        config.num_landmark_neighbors is not None,
        config.num_agent_neighbors is not None,
    )
    t["seen"] = config.seen_landmarks, config.seen_partners
    for name in _SAID:
        t[name.lower()] = BLOCKS[name].base
    for name in _MEASURED:
        fine, rough = BLOCKS[name], BLOCKS[f"{name}_ROUGH"]
        t[name.lower()] = fine.base + fine.shape[-1] // 2, rough.base + rough.shape[-1] // 2
    t["places"], t["place_sizes"] = _PLACE_TABLE, (PLACES.fine_size, PLACES.rough_size)
    t["speeds"], t["speed_sizes"] = _SPEED_TABLE, (SPEEDS.fine_size, SPEEDS.rough_size)
    return t


def make_choices(config: MpeConfig) -> tuple[Ids, Ids]:
    """Choices of each seat, at the first and at the second choice of a chain.

    Returns:
        ids int16 [2, P, max_choices], padded, and how many there are, int16 [2, P].
    """
    rows = [
        [phrases.choices(config, seat, moving) for seat in range(config.players)]
        for moving in (False, True)
    ]
    counts = np.array([[len(row) for row in half] for half in rows], np.int16)
    ids = np.full((2, config.players, counts.max()), PAD, np.int16)
    for half in range(2):
        for seat in range(config.players):
            ids[half, seat, : counts[half, seat]] = rows[half][seat]
    return ids, counts


DT, DAMPING, PUSH = 0.1, 0.25, 5.0
"""Seconds of a step, the share of speed lost in it, and the force of a push; masses are 1."""
SIZE, CONTACT, MARGIN = 0.15, 100.0, 0.001
"""Radius of a mover in simple-spread, force of contact, and how far before contact it begins."""
REACH = 0.1
"""Distance at which a landmark counts as covered."""


@njit(cache=True, nogil=True)
def _distance(a: Any, b: Any) -> float:
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
                distance = _distance(position[a], position[b])
                if distance == 0:
                    continue  # no direction to push in; mpe2 goes on with what is no number
                # A smooth step: log(1 + exp(x)), computed as numpy.logaddexp does.
                x = -(distance - 2 * SIZE) / MARGIN
                over = x + np.log1p(np.exp(-x)) if x > 0 else np.log1p(np.exp(x))
                for axis in range(2):
                    delta = position[a, axis] - position[b, axis]
                    contact = CONTACT * delta / distance * (over * MARGIN)
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
            nearest = min(nearest, _distance(position[a], landmark[k]))
        total -= nearest
    return total


@njit(cache=True, nogil=True)
def touching(position: Any, players: Int, seat: Int) -> Int:
    """How many others a mover touches in simple-spread."""
    count = 0
    for other in range(players):
        count += other != seat and _distance(position[other], position[seat]) < 2 * SIZE
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
        first = -_distance(position[1], landmark[game.goal[0]])
        second = -_distance(position[0], landmark[game.goal[1]])
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
            reached |= _distance(game.position[a], game.landmark[k]) < REACH
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
def _say(row: Ids, n: Int, value: float, at: Any, axis: Int, table: Any, sizes: Any) -> Int:
    """Says an amount along an axis twice: in a number, and roughly."""
    last = len(table) - 1
    amount = abs(value) * 200  # half centimetres
    index = int(amount) if amount < last else last  # also where it is no number
    for kind in range(2):
        steps = np.int64(table[index, kind])
        row[n + kind] = at[kind] + axis * sizes[kind] + (steps if value >= 0 else -steps)
    return n + 2


@njit(cache=True, nogil=True)
def _say_places(
    row: Ids, n: Int, game: Any, t: Any, seat: Int, others: bool, order: Any, far: Any
) -> Int:
    """Says where landmarks are, or partners."""
    here = game.position[seat]
    count = t.players - 1 if others else t.landmarks
    for k in range(count):
        order[k] = (seat + 1 + k) % t.players if others else k
    places = game.position if others else game.landmark
    name = 0
    if t.by_distance[int(others)]:
        name = MAX_PLAYERS - 1 if others else MAX_PLAYERS
        for k in range(count):
            far[k] = _distance(places[order[k]], here)
        for k in range(1, count):  # insertion sort
            one, distance, at = order[k], far[k], k
            while at > 0 and far[at - 1] > distance:
                order[at], far[at] = order[at - 1], far[at - 1]
                at -= 1
            order[at], far[at] = one, distance
    base = t.partner if others else t.landmark
    for k in range(t.seen[int(others)]):
        for axis in range(2):
            value = places[order[k], axis] - here[axis]
            row_of_block = (name + k) * 2 + axis
            n = _say(row, n, value, base, row_of_block, t.places, t.place_sizes)
    return n


@njit(cache=True, nogil=True)
def _write_facts(game: Any, t: Any, seat: Int, row: Ids, order: Any, far: Any) -> Int:
    """Writes what a seat knows; returns how many facts that is."""
    row[0] = t.task + t.game
    n = 1
    if t.game != SPEAKER_LISTENER or seat == 1:  # the speaker sees nothing of the plane
        for axis in range(2):
            value = game.velocity[seat, axis]
            n = _say(row, n, value, t.speed, axis, t.speeds, t.speed_sizes)
        if t.game == SPREAD:
            for axis in range(2):
                value = game.position[seat, axis]
                n = _say(row, n, value, t.place, axis, t.places, t.place_sizes)
        n = _say_places(row, n, game, t, seat, False, order, far)
    if t.game == SPREAD:
        return _say_places(row, n, game, t, seat, True, order, far)
    if game.goal[seat] >= 0:
        row[n] = t.goal + game.goal[seat]
        n += 1
    if t.game == REFERENCE or seat == 1:
        row[n] = t.heard + 1 + game.said[1 - seat]
        n += 1
    if game.saying[seat] >= 0:
        row[n] = t.saying + game.saying[seat]
        n += 1
    return n


@njit(cache=True, nogil=True)
def _pad(row: Ids, n: Int, before: Int) -> None:
    for k in range(n, before):
        row[k] = PAD


@njit(cache=True, nogil=True)
def show(games: Games, t: Any, choices: Ids, choice_counts: Ids, rows: Rows) -> Int:
    """Writes the rows of all due seats.

    Args:
        games: GAME [N].
        t: TABLES, a record.
        choices: int16 [2, P, C], see ``make_choices``.
        choice_counts: int16 [2, P].
        rows: arrays of N * P rows, of which the first are written.

    Returns:
        R, how many there are.
    """
    due_game, due_seat, facts, fact_counts, shown, shown_counts, labels = rows
    order, far = np.empty(MAX_PLAYERS, np.int64), np.empty(MAX_PLAYERS, np.float64)
    r = 0
    for i in range(len(games)):
        game = games[i]
        if game.over:
            continue
        for seat in range(t.players):
            due_game[r], due_seat[r] = i, seat
            n = _write_facts(game, t, seat, facts[r], order, far)
            _pad(facts[r], n, fact_counts[r])
            fact_counts[r] = n
            half = int(t.game == REFERENCE and game.saying[seat] >= 0)
            shown_counts[r] = choice_counts[half, seat]
            for k in range(choices.shape[2]):
                shown[r, k] = choices[half, seat, k]
            if labels.shape[1]:
                labels[r, 0] = game.goal[1 - seat]
            r += 1
    return r


@njit(cache=True, nogil=True)
def observe(games: Games, t: Any, seat: Int, facts: Ids, fact_counts: Ids) -> None:
    """Writes what one seat of every game knows, into rows full of PAD."""
    order, far = np.empty(MAX_PLAYERS, np.int64), np.empty(MAX_PLAYERS, np.float64)
    for i in range(len(games)):
        fact_counts[i] = _write_facts(games[i], t, seat, facts[i], order, far)


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
