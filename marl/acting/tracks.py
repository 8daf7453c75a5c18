"""Tracks: sequences in the making, one for every seat of every game of an actor.

Steps are appended in place by numba kernels; a finished track is packed into ``Episodes``.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from marl.episodes import Episodes


class Tracks(NamedTuple):
    """K tracks of up to T steps; the fields are those of ``Episodes``, before packing."""

    length: NDArray[np.int32]  # [K]
    fresh: NDArray[np.bool_]  # [K], whether the first step is the first of an episode
    fact_counts: NDArray[np.int16]  # [K, T]
    facts: NDArray[np.int16]  # [K, T * max_facts], step after step without padding
    facts_used: NDArray[np.int32]  # [K]
    choice_counts: NDArray[np.int16]  # [K, T]
    choices: NDArray[np.int16]  # [K, T * max_choices]
    choices_used: NDArray[np.int32]  # [K]
    actions: NDArray[np.int16]  # [K, T]
    taught: NDArray[np.int16]  # [K, T]
    rewards: NDArray[np.float32]  # [K, T]
    elapsed: NDArray[np.int16]  # [K, T]
    labels: NDArray[np.int8]  # [K, T, labels]
    version: NDArray[np.int32]  # [K], weights that chose the first action
    start: NDArray[np.float32]  # [K, M], memory before the first step
    restart: NDArray[np.float32]  # [K, M], memory before the first step of the successor
    restart_version: NDArray[np.int32]  # [K], weights that chose the successor's first action


def allocate(
    count: int,
    *,
    steps: int,
    max_facts: int,
    max_choices: int,
    labels: int,
    memory: int,
) -> Tracks:
    """Empty tracks."""
    return Tracks(
        length=np.zeros(count, np.int32),
        fresh=np.ones(count, np.bool_),
        fact_counts=np.zeros((count, steps), np.int16),
        facts=np.zeros((count, steps * max_facts), np.int16),
        facts_used=np.zeros(count, np.int32),
        choice_counts=np.zeros((count, steps), np.int16),
        choices=np.zeros((count, steps * max_choices), np.int16),
        choices_used=np.zeros(count, np.int32),
        actions=np.zeros((count, steps), np.int16),
        taught=np.zeros((count, steps), np.int16),
        rewards=np.zeros((count, steps), np.float32),
        elapsed=np.zeros((count, steps), np.int16),
        labels=np.zeros((count, steps, labels), np.int8),
        version=np.zeros(count, np.int32),
        start=np.zeros((count, memory), np.float32),
        restart=np.zeros((count, memory), np.float32),
        restart_version=np.zeros(count, np.int32),
    )


def full(tracks: Tracks, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of ``rows`` that have no room for another step."""
    return rows[tracks.length[rows] == tracks.actions.shape[1]]


@numba.njit(cache=True, nogil=True)
def record(
    tracks,
    rows,
    facts,
    fact_counts,
    choices,
    choice_counts,
    actions,
    taught,
    labels,
    memory,
    version,
    overlap,
    slot,
):
    """Appends one step to each of ``rows``: due row r writes into track rows[r].

    The answers of a game begin in ``slot`` among those of all games.
    """
    steps = tracks.actions.shape[1]
    for r in range(len(rows)):
        k = rows[r]
        j = tracks.length[k]
        if j == 0:
            tracks.start[k] = memory[r]
            tracks.version[k] = version
            tracks.facts_used[k] = 0
            tracks.choices_used[k] = 0
        if j == steps - 1 - overlap:
            tracks.restart[k] = memory[r]
            tracks.restart_version[k] = version
        n = fact_counts[r]
        at = tracks.facts_used[k]
        tracks.facts[k, at : at + n] = facts[r, :n]
        tracks.facts_used[k] = at + n
        tracks.fact_counts[k, j] = n
        n = choice_counts[r]
        at = tracks.choices_used[k]
        tracks.choices[k, at : at + n] = choices[r, :n]
        tracks.choices_used[k] = at + n
        tracks.choice_counts[k, j] = n
        tracks.actions[k, j] = actions[r]
        tracks.taught[k, j] = taught[r]
        tracks.rewards[k, j] = 0.0
        tracks.elapsed[k, j] = 0
        for i in range(tracks.labels.shape[2]):
            inside = slot <= i < slot + labels.shape[1]
            tracks.labels[k, j, i] = labels[r, i - slot] if inside else -1
        tracks.length[k] = j + 1


@numba.njit(cache=True, nogil=True)
def reward(tracks, rewards, elapsed):
    """Adds what every seat earned and the time that went by to its last step.

    Args:
        tracks: K = N * P tracks.
        rewards: float32 [N, P].
        elapsed: int32 [N].
    """
    games, seats = rewards.shape
    for g in range(games):
        for seat in range(seats):
            k = g * seats + seat
            j = tracks.length[k] - 1
            if j >= 0:
                tracks.rewards[k, j] += rewards[g, seat]
                # Longer than can be told is as good as for ever.
                tracks.elapsed[k, j] = min(tracks.elapsed[k, j] + elapsed[g], 32767)


@numba.njit(cache=True, nogil=True)
def keep_overlap(tracks, rows, overlap):
    """Starts the successors of cut sequences with their last ``overlap + 1`` steps."""
    for k in rows:
        length = tracks.length[k]
        first = max(length - 1 - overlap, 0)
        facts = tracks.fact_counts[k, :first].sum()
        choices = tracks.choice_counts[k, :first].sum()
        for i in range(facts, tracks.facts_used[k]):
            tracks.facts[k, i - facts] = tracks.facts[k, i]
        for i in range(choices, tracks.choices_used[k]):
            tracks.choices[k, i - choices] = tracks.choices[k, i]
        tracks.facts_used[k] -= facts
        tracks.choices_used[k] -= choices
        for j in range(first, length):
            tracks.fact_counts[k, j - first] = tracks.fact_counts[k, j]
            tracks.choice_counts[k, j - first] = tracks.choice_counts[k, j]
            tracks.actions[k, j - first] = tracks.actions[k, j]
            tracks.taught[k, j - first] = tracks.taught[k, j]
            tracks.rewards[k, j - first] = tracks.rewards[k, j]
            tracks.elapsed[k, j - first] = tracks.elapsed[k, j]
            tracks.labels[k, j - first] = tracks.labels[k, j]
        tracks.start[k] = tracks.restart[k]
        tracks.version[k] = tracks.restart_version[k]
        tracks.length[k] = length - first
        tracks.fresh[k] = False


def clear(tracks: Tracks, rows: NDArray[np.int64]) -> None:
    """Makes room for new episodes in some tracks."""
    tracks.length[rows] = 0
    tracks.fresh[rows] = True


def gather(
    tracks: Tracks,
    rows: NDArray[np.int64],
    terminal: bool,
    setting: int,
    seats: int,
    partners: NDArray[np.int64] | None = None,
) -> Episodes:
    """Packs some tracks of games of so many seats into episodes, leaving them as they are.

    Args:
        tracks: K tracks.
        rows: int64 [E], which of them.
        terminal: whether their seats' episodes have ended.
        setting: in which they were played.
        seats: of a game.
        partners: int64 [E], who held other seats (see ``Episodes.partner``); None for nobody.
    """
    lengths = tracks.length[rows]
    facts = np.empty(tracks.facts_used[rows].sum(), np.int16)
    choices = np.empty(tracks.choices_used[rows].sum(), np.int16)
    _pack(tracks.facts, tracks.facts_used, rows, facts)
    _pack(tracks.choices, tracks.choices_used, rows, choices)
    taken = np.arange(tracks.actions.shape[1]) < lengths[:, None]
    return Episodes(
        lengths=lengths,
        fact_counts=tracks.fact_counts[rows][taken],
        facts=facts,
        choice_counts=tracks.choice_counts[rows][taken],
        choices=choices,
        actions=tracks.actions[rows][taken],
        rewards=tracks.rewards[rows][taken],
        elapsed=tracks.elapsed[rows][taken],
        terminal=np.full(len(rows), terminal),
        fresh=tracks.fresh[rows],
        memory=tracks.start[rows],
        setting=np.full(len(rows), setting, np.int16),
        version=tracks.version[rows],
        seat=(rows % seats).astype(np.int8),
        partner=np.zeros(len(rows), np.int16) if partners is None else partners.astype(np.int16),
        labels=tracks.labels[rows][taken],
        taught=tracks.taught[rows][taken],
    )


@numba.njit(cache=True, nogil=True)
def _pack(arrays, used, rows, out):
    """Copies the used part of each row of ``arrays``, end to end."""
    at = 0
    for k in rows:
        out[at : at + used[k]] = arrays[k, : used[k]]
        at += used[k]


def state(tracks: Tracks) -> dict[str, NDArray[np.generic]]:
    """The arrays; of facts and choices only what is in use, end to end.

    What earlier tracks left behind it is no part of the state, so that a run that was resumed
    saves the same bytes as one that never stopped.
    """
    arrays: dict[str, NDArray[np.generic]] = {**tracks._asdict()}
    for name in ("facts", "choices"):
        arrays[name] = getattr(tracks, name)[_used(tracks, name)]
    return arrays


def load_state(tracks: Tracks, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Fills the arrays from a ``state()``.

    Raises:
        ValueError: if it is of other tracks than these.
    """
    for name, array in tracks._asdict().items():
        if name not in ("facts", "choices"):
            if array.shape != arrays[name].shape:
                raise ValueError(
                    f"tracks {name!r} must have the shape {array.shape}, got {arrays[name].shape}: "
                    "resume with the configuration that the run was saved with"
                )
            array[:] = arrays[name]
    for name in ("facts", "choices"):
        getattr(tracks, name)[_used(tracks, name)] = arrays[name]


def _used(tracks: Tracks, name: str) -> NDArray[np.bool_]:
    """Which places of ``facts`` or ``choices`` are in use."""
    width = getattr(tracks, name).shape[1]
    used: NDArray[np.bool_] = np.arange(width) < getattr(tracks, f"{name}_used")[:, None]
    return used
