"""Players by rules for the games on consoles: they read sentences, as agents do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from games.core import BatchedGame
from games.gameboy.parcels import STAMPS
from games.gameboy.sorting import Map, message

Player = Callable[[list[str], list[str]], str]


def play(game: BatchedGame, player: Player, games: int) -> list[float]:
    """Headline outcomes of the first games to end, all seats played alike."""
    scores: list[float] = []
    while len(scores) < games:
        index = []
        for row in range(len(game.due_game)):
            facts = game.phrasebook.render(game.facts[row])
            choices = game.phrasebook.render(game.choices[row])
            index.append(choices.index(player(facts, choices)))
        step = game.step(np.array(index))
        scores += step.outcome[game.scoring[0]][step.over].tolist()
    return scores


def _stamp(words: str) -> int:
    return STAMPS.index(words)


def sorter(told: Map | None) -> Player:
    """Tells by a map (None: as much as it can), and believes that the partner does.

    Its own presses that are on their way are taken for done.
    """

    def choose(facts: list[str], choices: list[str]) -> str:
        said = {fact.rpartition(" ")[0]: fact.rpartition(" ")[2] for fact in facts}
        pending = [fact.rpartition(" in ")[0] for fact in facts if fact.endswith(" turns")]
        theirs = next((f[20:] for f in facts if f.startswith("partner A parcel is")), None)
        if theirs is not None:
            want = 3 if told is None else told[_stamp(theirs)]
            for bit, what in ((1, "colour"), (2, "shape")):
                tell = f"I tell partner A the {what}"
                known = f"I told partner A the {what}" in facts or tell in pending
                if want & bit and not known and tell in choices:
                    return tell
        heard = (said.get("my parcel is"), *[f[13:] for f in facts if f.startswith("my parcel is")])
        lane = _stamp(next(f[21:] for f in facts if f.startswith("my crane is over bin")))
        lane += pending.count("I move right") - pending.count("I move left")
        bits = value = 0
        for word in heard:
            bits |= {"white": 1, "black": 1, "round": 2, "square": 2}.get(word or "", 0)
            value |= {"black": 1, "square": 2}.get(word or "", 0)
        if not bits:
            return "I wait"
        fitting = [
            stamp
            for stamp in range(4)
            if (
                message(stamp, told[stamp]) == (bits, value)
                if told is not None
                else stamp & bits == value
            )
        ]
        if not fitting or lane == fitting[0]:
            return "I wait"
        return "I move right" if lane < fitting[0] else "I move left"

    return choose


def stacker(facts: list[str], choices: list[str]) -> str:
    """Fills rows, buries little, stays low and smooth."""

    def worth(choice: str) -> float:
        words = choice.replace(",", "").split()
        if "late" in words:
            return 0.0
        fill, bury, high, rough = int(words[2]), int(words[5]), int(words[8]), int(words[-2])
        bury *= -1 if words[4] == "free" else 1
        rough *= -1 if words[-1] == "smoother" else 1
        return 0.19 * fill - 1.09 * bury - 0.1 * high - 0.22 * rough

    return max(choices, key=worth)
