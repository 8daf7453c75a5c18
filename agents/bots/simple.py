"""Players that are a list of rules: IGGI, Piers, Van den Bergh, Outer, Internal, Flawed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.bots.core import DONE, STAMP, Bot, Rows, choose, digest, look
from agents.bots.rules import Kind, Rule, first_move, rule_list
from games.hanabi.view import VIEW, play_choice

RULES: dict[str, tuple[Rule, ...]] = {
    "iggi": (
        Rule(Kind.PLAY_CERTAIN),
        Rule(Kind.PLAY_SAFE),
        Rule(Kind.TELL_USEFUL),
        Rule(Kind.DISCARD_USELESS),
        Rule(Kind.DISCARD_OLDEST),
        Rule(Kind.TELL_RANDOM),
    ),
    "piers": (
        Rule(Kind.PLAY_LIKELY, lives_above=1, deck_empty=True),
        Rule(Kind.PLAY_SAFE),
        Rule(Kind.PLAY_LIKELY, chance=0.6, lives_above=1),
        Rule(Kind.TELL_USEFUL),
        Rule(Kind.TELL_DISPENSABLE, hints_below=4),
        Rule(Kind.DISCARD_USELESS),
        Rule(Kind.DISCARD_OLDEST),
        Rule(Kind.TELL_RANDOM),
        Rule(Kind.DISCARD_RANDOM),
    ),
    "van-den-bergh": (
        Rule(Kind.PLAY_LIKELY, chance=0.6, lives_above=1),
        Rule(Kind.PLAY_SAFE),
        Rule(Kind.DISCARD_LIKELY, chance=1.0),
        Rule(Kind.TELL_USEFUL),
        Rule(Kind.TELL_MOST),
        Rule(Kind.DISCARD_LIKELY),
        Rule(Kind.TELL_RANDOM),
    ),
    "outer": (
        Rule(Kind.PLAY_SAFE),
        Rule(Kind.DISCARD_USELESS),
        Rule(Kind.TELL_USEFUL),
        Rule(Kind.TELL_UNKNOWN),
        Rule(Kind.DISCARD_RANDOM),
        Rule(Kind.TELL_RANDOM),
    ),
    "internal": (
        Rule(Kind.PLAY_SAFE),
        Rule(Kind.DISCARD_USELESS),
        Rule(Kind.TELL_PLAYABLE),
        Rule(Kind.TELL_RANDOM),
        Rule(Kind.DISCARD_RANDOM),
    ),
    "flawed": (
        Rule(Kind.PLAY_SAFE),
        Rule(Kind.PLAY_LIKELY, chance=0.25),
        Rule(Kind.TELL_RANDOM),
        Rule(Kind.DISCARD_USELESS),
        Rule(Kind.DISCARD_OLDEST),
        Rule(Kind.DISCARD_RANDOM),
    ),
}
"""The rules of each player, by its name."""


@njit(cache=True, nogil=True)
def _act(rows: Rows, rules: NDArray[np.void], views: NDArray[np.void], stamp: Any) -> int:
    view = views.copy()[0]  # one for each call: calls may run at the same time
    for i in range(len(rows.facts)):
        status = look(rows, i, view)
        if status != DONE:
            return status
        move = first_move(view, rules, digest(rows.facts[i], rows.fact_counts[i]))
        choose(rows, i, move if move >= 0 else play_choice(0))
    return DONE


def player(name: str, rules: Sequence[Rule]) -> Bot:
    """A player of rules of one's own; where no rule has a move it plays its oldest card."""
    return Bot(name, _act, rule_list(rules), np.zeros(1, VIEW), STAMP)


def make(name: str) -> Bot:
    """A player by its name in ``RULES``."""
    return player(name, RULES[name])
