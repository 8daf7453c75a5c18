"""How sequences lie in the ring: the columns of their slots, and the kernels that copy them.

A span holds, in this order: rewards and initial memory as floats; the number of facts, the number
of choices, the action, what was taught and the time that went by of every step; the facts; the
choices; the labels.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from marl.episodes import Episodes

# Columns of a slot. Starts and sizes count 16-bit words of the ring; MEMORY is 0 where the
# initial memory is all zeros, as at the start of every episode, and is therefore not stored.
START, WORDS, LENGTH, FACTS, CHOICES, MEMORY, TERMINAL, FRESH = range(8)
SETTING, VERSION, SEAT, PARTNER = range(8, 12)
COLUMNS = 12
# Entries of the cursor: where the next span begins, the oldest live id, the next id.
HEAD, OLDEST, NEXT = range(3)

DTYPES = {
    "lengths": np.dtype(np.int32),
    "fact_counts": np.dtype(np.int16),
    "facts": np.dtype(np.int16),
    "choice_counts": np.dtype(np.int16),
    "choices": np.dtype(np.int16),
    "actions": np.dtype(np.int16),
    "rewards": np.dtype(np.float32),
    "elapsed": np.dtype(np.int16),
    "terminal": np.dtype(np.bool_),
    "fresh": np.dtype(np.bool_),
    "memory": np.dtype(np.float32),
    "setting": np.dtype(np.int16),
    "version": np.dtype(np.int32),
    "seat": np.dtype(np.int8),
    "partner": np.dtype(np.int16),
    "labels": np.dtype(np.int8),
    "taught": np.dtype(np.int16),
}

FAULTS = {
    1: "sequence {where} must have 1 to {max_length} steps: cut longer ones, or raise "
    "replay.max_length",
    2: "episodes.lengths add up to {where} steps, which is not how many actions there are",
    3: "sequence {where} has a step without a choice, whose action is not one of its choices, or "
    "whose time runs backwards",
    4: "episodes.fact_counts add up to {where}, which is not how many facts there are",
    5: "episodes.choice_counts add up to {where}, which is not how many choices there are",
    6: "sequence {where} has a reward that is not finite",
    7: "episodes.facts must hold ids, got {where}",
    8: "episodes.choices must hold ids, got {where}",
    9: "episodes.setting must be in [0, {settings}), got {where}",
    10: "a sequence of {where} bytes does not fit into a replay of {size}: raise "
    "replay.capacity_bytes",
    11: "sequence {where} has a teacher's choice that is not one of its choices",
    12: "episodes.partner cannot be negative, got {where}",
}


def parts(episodes: Episodes) -> tuple[NDArray[Any], ...]:
    """The arrays that lie in the ring, in the order of a span."""
    return (
        episodes.rewards,
        episodes.memory,
        episodes.fact_counts,
        episodes.choice_counts,
        episodes.actions,
        episodes.taught,
        episodes.elapsed,
        episodes.facts,
        episodes.choices,
        episodes.labels.reshape(-1),
    )


@njit(cache=True, nogil=True)
def measure(
    lengths,
    terminal,
    fresh,
    setting,
    version,
    seat,
    partner,
    parts,
    num_settings,
    label_size,
    max_length,
    size,
):
    """Rows of new sequences; with the number of a fault and what is wrong, if there is one."""
    rewards, memory, fact_counts, choice_counts, actions, taught, elapsed, facts, choices, _ = parts
    rows = np.zeros((len(lengths), COLUMNS), np.int64)
    step = all_facts = all_choices = np.int64(0)
    for e in range(len(lengths)):
        length = np.int64(lengths[e])
        if length < 1 or length > max_length:
            return rows, 1, e
        if step + length > len(actions):
            return rows, 2, step + length
        if setting[e] < 0 or setting[e] >= num_settings:
            return rows, 9, np.int64(setting[e])
        if partner[e] < 0:
            return rows, 12, np.int64(partner[e])
        fact_sum = choice_sum = np.int64(0)
        # Without branches, for speed: negative numbers leave their sign in what is or-ed.
        signs, lessons, endless = np.int64(0), np.int64(0), False
        for s in range(step, step + length):
            signs |= fact_counts[s] | actions[s] | (choice_counts[s] - 1 - actions[s]) | elapsed[s]
            lessons |= (taught[s] + 1) | (choice_counts[s] - 1 - taught[s])
            endless |= not np.isfinite(rewards[s])
            fact_sum += fact_counts[s]
            choice_sum += choice_counts[s]
        if signs < 0:
            return rows, 3, e
        if endless:
            return rows, 6, e
        if lessons < 0:
            return rows, 11, e
        stored = 0
        for m in range(memory.shape[1]):
            if memory[e, m] != 0:
                stored = memory.shape[1]
                break
        words = 7 * length + 2 * stored + fact_sum + choice_sum + (label_size * length + 1) // 2
        words += words % 2
        if words > size:
            return rows, 10, 2 * words
        rows[e, WORDS] = words
        rows[e, LENGTH] = length
        rows[e, FACTS] = fact_sum
        rows[e, CHOICES] = choice_sum
        rows[e, MEMORY] = stored
        rows[e, TERMINAL] = terminal[e]
        rows[e, FRESH] = fresh[e]
        rows[e, SETTING] = setting[e]
        rows[e, VERSION] = version[e]
        rows[e, SEAT] = seat[e]
        rows[e, PARTNER] = partner[e]
        step += length
        all_facts += fact_sum
        all_choices += choice_sum
    if step != len(actions):
        return rows, 2, step
    if all_facts != len(facts):
        return rows, 4, all_facts
    if all_choices != len(choices):
        return rows, 5, all_choices
    for fault, ids in ((7, facts), (8, choices)):
        sign = np.int16(0)
        for k in range(len(ids)):
            sign |= ids[k]
        if sign < 0:
            return rows, fault, np.int64(ids.min())
    return rows, 0, np.int64(0)


@njit(cache=True, nogil=True)
def _has_room(words, slots, cursor, size):
    """Whether a slot and a span are free; may move the cursor to the ring's start to find one."""
    live = cursor[NEXT] - cursor[OLDEST]
    if live == 0:
        cursor[HEAD] = 0
        return True
    if live == len(slots):
        return False
    head, tail = cursor[HEAD], slots[cursor[OLDEST] % len(slots), START]
    if head <= tail:  # wrapped: what lies between the newest and the oldest is free
        return head + words <= tail
    if head + words <= size:
        return True
    if words <= tail:
        cursor[HEAD] = 0
        return True
    return False


@njit(cache=True, nogil=True)
def place(rows, slots, cursor, counts, size):
    """Gives every row a span and a slot, evicting the oldest until there is room."""
    for e in range(len(rows)):
        while not _has_room(rows[e, WORDS], slots, cursor, size):
            oldest = cursor[OLDEST] % len(slots)
            counts[slots[oldest, SETTING], 0] -= 1
            counts[slots[oldest, SETTING], 1] -= slots[oldest, LENGTH]
            counts[slots[oldest, SETTING], 2] -= slots[oldest, SEAT] == 0
            cursor[OLDEST] += 1
        rows[e, START] = cursor[HEAD]
        cursor[HEAD] += rows[e, WORDS]
        slots[cursor[NEXT] % len(slots), :] = rows[e]
        cursor[NEXT] += 1
        counts[rows[e, SETTING], 0] += 1
        counts[rows[e, SETTING], 1] += rows[e, LENGTH]
        counts[rows[e, SETTING], 2] += rows[e, SEAT] == 0


@njit(cache=True, nogil=True)
def _copy(target, to, source, start, count):
    # Slices first: the loop over them has no index that could be negative, and is vectorised.
    target, source = target[to : to + count], source[start : start + count]
    for k in range(count):
        target[k] = source[k]


@njit(cache=True, nogil=True)
def pack(rows, views, parts):
    """Copies sequences into their spans."""
    floats, words, octets = views
    rewards, memory, fact_counts, choice_counts, actions, taught, elapsed = parts[:7]
    facts, choices, labels = parts[7:]
    width = len(labels) // max(len(actions), 1)
    step = fact = choice = 0
    for row in range(len(rows)):
        length, at = rows[row, LENGTH], rows[row, START]
        _copy(floats, at // 2, rewards, step, length)
        at += 2 * length
        _copy(floats, at // 2, memory[row], 0, rows[row, MEMORY])
        at += 2 * rows[row, MEMORY]
        _copy(words, at, fact_counts, step, length)
        _copy(words, at + length, choice_counts, step, length)
        _copy(words, at + 2 * length, actions, step, length)
        _copy(words, at + 3 * length, taught, step, length)
        _copy(words, at + 4 * length, elapsed, step, length)
        at += 5 * length
        _copy(words, at, facts, fact, rows[row, FACTS])
        at += rows[row, FACTS]
        _copy(words, at, choices, choice, rows[row, CHOICES])
        at += rows[row, CHOICES]
        _copy(octets, 2 * at, labels, step * width, length * width)
        # What rounding leaves over is cleared, so that equal replays are saved as equal bytes.
        octets[2 * at + length * width : 2 * (rows[row, START] + rows[row, WORDS])] = 0
        step += length
        fact += rows[row, FACTS]
        choice += rows[row, CHOICES]


@njit(cache=True, nogil=True)
def unpack(rows, views, parts):
    """Copies sequences out of their spans: ``pack`` the other way round."""
    floats, words, octets = views
    rewards, memory, fact_counts, choice_counts, actions, taught, elapsed = parts[:7]
    facts, choices, labels = parts[7:]
    width = len(labels) // max(len(actions), 1)
    step = fact = choice = 0
    for row in range(len(rows)):
        length, at = rows[row, LENGTH], rows[row, START]
        _copy(rewards, step, floats, at // 2, length)
        at += 2 * length
        memory[row, rows[row, MEMORY] :] = 0
        _copy(memory[row], 0, floats, at // 2, rows[row, MEMORY])
        at += 2 * rows[row, MEMORY]
        _copy(fact_counts, step, words, at, length)
        _copy(choice_counts, step, words, at + length, length)
        _copy(actions, step, words, at + 2 * length, length)
        _copy(taught, step, words, at + 3 * length, length)
        _copy(elapsed, step, words, at + 4 * length, length)
        at += 5 * length
        _copy(facts, fact, words, at, rows[row, FACTS])
        at += rows[row, FACTS]
        _copy(choices, choice, words, at, rows[row, CHOICES])
        at += rows[row, CHOICES]
        _copy(labels, step * width, octets, 2 * at, length * width)
        step += length
        fact += rows[row, FACTS]
        choice += rows[row, CHOICES]
