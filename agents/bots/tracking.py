"""A player by rules for ``tracking``: points where the target will be if it does not turn round."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"\d+")


def track(facts: Sequence[str], choices: Sequence[str]) -> str:
    """One of the choices, from what is seen."""
    cell, way, ahead = 0, 0, 0
    for fact in facts:
        if fact.startswith("the target is at cell"):
            cell = int(_NUMBER.findall(fact)[0]) - 1
        elif fact.startswith("the target runs"):
            way = 1 if fact.endswith("right") else -1
        elif fact.startswith("my choice counts"):
            ahead = int(_NUMBER.findall(fact)[0])
    cells = len(choices) - 1  # the last one is to point nowhere
    return choices[(cell + way * ahead) % cells]
