"""What seats of the particle games are shown: kernels that write facts and choices as ids."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.mpe import phrases
from games.mpe.engine import distance
from games.mpe.records import Games, Ids, Int
from games.mpe.rules import MAX_PLAYERS, REFERENCE, SPEAKER_LISTENER, SPREAD, MpeConfig
from games.text import PAD


class Rows(NamedTuple):
    """What due seats are shown, a row each, as ``BatchedGame`` describes it."""

    game: NDArray[np.int32]
    seat: NDArray[np.int8]
    facts: Ids
    fact_counts: Ids
    choices: Ids
    choice_counts: Ids
    labels: NDArray[np.int8]


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
            far[k] = distance(places[order[k]], here)
        for k in range(1, count):  # insertion sort
            one, its, at = order[k], far[k], k
            while at > 0 and far[at - 1] > its:
                order[at], far[at] = order[at - 1], far[at - 1]
                at -= 1
            order[at], far[at] = one, its
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
