"""State-dependent exploration: random moves that are alike wherever the same is observed.

After Rückstieß, Felder and Schmidhuber 2008 ("State-dependent exploration for policy gradient
methods"), for choices instead of amounts. Where seats talk, words that are drawn anew each time
mean nothing, and nobody can learn to listen to them; words that are drawn once for each thing there
is to say mean something from the first game on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.chance import GOLDEN, mix

SHARE = 0.75
"""Of the random moves of who explores like this; the others are drawn anew each time."""
CANDIDATES = 16
"""Functions of which one is chosen."""
NEARLY = 0.98
"""Share of the highest entropy that is high enough."""


@njit(cache=True, nogil=True)
def state_dependent(
    facts: NDArray[np.int16],
    fact_counts: NDArray[np.int16],
    choices: NDArray[np.int16],
    choice_counts: NDArray[np.int16],
    salt: Any,
) -> NDArray[np.int64]:
    """The choices of a random linear function: each fact speaks for each choice with a lot.

    What speaks for a choice is compared with its mean over the rows that have this choice: so what
    all of them are told counts for nothing, and what differs between them decides.

    Args:
        facts: int16 [B, F], ids.
        fact_counts: int16 [B].
        choices: int16 [B, C], ids.
        choice_counts: int16 [B], at least 1.
        salt: uint64, which function.

    Returns:
        int64 [B], the index of the choice for which most is spoken.
    """
    rows = len(facts)
    spoken = np.zeros(choices.shape)
    ids = choices.max() + 1 if rows else 0
    total, offered = np.zeros(ids), np.zeros(ids)
    salt = mix(np.uint64(salt) + GOLDEN)
    for b in range(rows):
        for c in range(choice_counts[b]):
            choice = choices[b, c]
            of_choice = mix(salt ^ np.uint64(choice))
            for f in range(fact_counts[b]):
                lot = mix(of_choice + GOLDEN * np.uint64(facts[b, f] + 1))
                spoken[b, c] += np.float64(lot >> np.uint64(11)) * 2.0**-53
            total[choice] += spoken[b, c]
            offered[choice] += 1
    found = np.zeros(rows, np.int64)
    for b in range(rows):
        most = -np.inf
        for c in range(choice_counts[b]):
            choice = choices[b, c]
            ahead = spoken[b, c] - total[choice] / offered[choice]
            if ahead > most:
                most, found[b] = ahead, c
    return found


def telling_salt(
    facts: NDArray[np.int16],
    fact_counts: NDArray[np.int16],
    choices: NDArray[np.int16],
    choice_counts: NDArray[np.int16],
    seed: int,
) -> np.uint64:
    """Of some functions one that tells what is observed apart: few rows share a choice.

    It is the first whose choices have nearly the highest entropy that there is among them, so that
    whoever looks at other rows of the same game finds the same one, most of the time.

    Args:
        facts: as of ``state_dependent``, and so on.
        fact_counts: likewise.
        choices: likewise.
        choice_counts: likewise.
        seed: from which the functions count.
    """
    salts = [np.uint64((seed * CANDIDATES + k) % 2**64) for k in range(CANDIDATES)]
    entropies = []
    for salt in salts:
        found = state_dependent(facts, fact_counts, choices, choice_counts, salt)
        made = choices[np.arange(len(found)), found]
        shares = np.unique(made, return_counts=True)[1] / max(len(made), 1)
        entropies.append(-float((shares * np.log(shares)).sum()))
    return salts[int(np.argmax(np.array(entropies) >= NEARLY * max(entropies)))]
