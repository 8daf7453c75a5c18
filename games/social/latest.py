"""Games of rounds in which everybody acts at once, and all are told what each did last.

What such games share: their records' first fields, what they say, and the kernels that write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from games.blocks import lay_out, sentences
from games.deeds import Deed
from games.simultaneous import SHARED_FIELDS, Sheet
from games.text import PAD, Phrasebook
from games.words import LETTERS, there_are

MAX_PLAYERS = 5

GAME_FIELDS = [*SHARED_FIELDS, ("round", np.int16), ("latest", np.int8, MAX_PLAYERS)]
"""What a record begins with: rounds played, and the latest act of each seat."""
RULES_FIELDS = [
    *((name, np.int64) for name in ("players", "rounds", "heads", "acts")),
    ("since", np.int64),  # the round from which on it is said what was done
    *((name, np.int64) for name in ("left", "did", "act")),  # ids
]
"""What the rules begin with; ``sheet`` fills them in."""


@dataclass(frozen=True)
class Words:
    """What a game of K acts says.

    Attributes:
        role: of each player.
        head: the setting, in sentences that are always among the facts.
        acts: K choices, as in "I ...".
        mine: K sentences, of one's own latest act.
        theirs: the same, as in "player A ...".
    """

    role: str
    head: tuple[str, ...]
    acts: tuple[str, ...]
    mine: tuple[str, ...]
    theirs: tuple[str, ...]


def sheet(
    words: Words,
    players: int,
    rounds: int,
    rules: np.void,
    scoring: tuple[str, ...],
    max_score: float,
    deeds: Sequence[Deed],
    since: int = 0,
) -> Sheet:
    """What is fixed about a setting; also fills in the ``RULES_FIELDS`` of its rules.

    Args:
        words: what is said.
        players: P.
        rounds: of an episode, at most.
        rules: the setting as kernels read it.
        scoring: names of the outcomes.
        max_score: the most that the first of them can come to.
        deeds: what a manager can ask for.
        since: the round from which on it is said what was done: 0 where everybody is somewhere
            from the start.
    """
    head, acts = words.head, len(words.acts)

    def did(seat: int, act: int) -> str:
        if seat == 0:
            return words.mine[act]
        return f"{words.role} {LETTERS[seat - 1]} {words.theirs[act]}"

    blocks = lay_out(
        (
            ("HEAD", (len(head),), lambda i: head[i]),
            ("LEFT", (rounds + 1,), lambda n: f"{there_are(n, 'round')} left"),
            ("DID", (players + 1, acts), did),
            ("ACT", (acts,), lambda act: f"I {words.acts[act]}"),
        )
    )
    rules["players"], rules["rounds"], rules["since"] = players, rounds, since
    rules["heads"], rules["acts"] = len(head), acts
    for name in ("LEFT", "DID", "ACT"):
        rules[name.lower()] = blocks[name].base
    shared = [*blocks["HEAD"].ids, *blocks["LEFT"].ids]
    return Sheet(
        phrasebook=Phrasebook(sentences(blocks)),
        players=players,
        role=words.role,
        scoring=scoring,
        max_score=max_score,
        max_facts=len(head) + 1 + players,
        max_choices=acts,
        rounds=rounds,
        fact_phrases=np.array([*shared, *blocks["DID"].ids[:-acts]], np.int16),
        onlooker_phrases=np.array([*shared, *blocks["DID"].ids[acts:]], np.int16),
        choice_phrases=np.array(blocks["ACT"].ids, np.int16),
        deeds=tuple(deeds),
    )


@njit(cache=True, nogil=True)
def view(games, rules, first, facts, counts):  # type: ignore[no-untyped-def]
    """What everybody did last; see ``Kernels.view``."""
    players = rules.players
    for i in range(len(games)):
        for k in range(facts.shape[1]):
            onlooker = first + k == players
            out = facts[i, k]
            for head in range(rules.heads):
                out[head] = head
            n = rules.heads
            out[n] = rules.left + rules.rounds - games[i].round
            n += 1
            if games[i].round >= rules.since:
                for offset in range(players):
                    seat = offset if onlooker else (first + k + offset) % players
                    out[n] = rules.did + (offset + onlooker) * rules.acts + games[i].latest[seat]
                    n += 1
            counts[i, k] = n
            out[n:] = PAD


@njit(cache=True, nogil=True)
def offer(games, rules, choices, counts):  # type: ignore[no-untyped-def]
    """All acts, always; see ``Kernels.offer``."""
    for act in range(rules.acts):
        choices[:, :, act] = rules.act + act
    counts[:] = rules.acts
