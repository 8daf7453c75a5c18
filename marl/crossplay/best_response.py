"""What a partner comes to with the best response to it that is known: who does best beside it.

Candidates are the partner itself, the rule-based players, and whoever else is named: runs that were
dedicated to one partner, say. Which is best is found once and kept in the package
(``best_responses.json``), for every partner, setting and role of a part of the split; ``COMMAND``
says how. It is a lower bound of the true best response, and moves up with what is found.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.resources import files
from itertools import product
from pathlib import Path

import numpy as np

from agents.bots import NAMES
from games.settings import Setting
from marl.acting.table import never, play_many
from marl.crossplay.partners import partners_of, roles, seating
from marl.runs import roster
from marl.runs.split import PARTS

COMMAND = "troupe adhoc --players 2-5 --best-responses FILE"
"""What the kept file was written with."""

FIXED = tuple(f"bot:{name}" for name in NAMES if name != "flawed")
"""Candidates for every partner. (Nobody is the best for anybody who loses all its games.)"""

ITSELF = "itself"

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class BestResponse:
    """Who does best beside a partner.

    Attributes:
        part: of the split.
        partner, setting, role: of whom, of what, and as what, as in a ``Meeting``.
        best: name of the best candidate, ``ITSELF`` for the partner.
        score: what the two come to on average, by the headline.
        itself: what the partner comes to with itself.
        games: how many each candidate played.
        seed: of the first of them.
    """

    part: str
    partner: str
    setting: str
    role: str
    best: str
    score: float
    itself: float
    games: int
    seed: int

    @property
    def key(self) -> Key:
        """What is unique to it."""
        return self.part, self.partner, self.setting, self.role


def find(
    candidates: Sequence[str],
    settings: Sequence[Setting],
    *,
    part: str,
    games: int,
    seed: int,
    device: str = "cpu",
    on_end: Callable[[str, int], None] = lambda what, games: None,
    stop: Callable[[], bool] = never,
) -> list[BestResponse]:
    """Plays every candidate beside every partner of a part of the split.

    Args:
        candidates: names in the roster, besides ``FIXED`` and each partner itself.
        settings: what is played, each of Hanabi.
        part: of the split.
        games: of each candidate with each partner.
        seed: of the first game; the others count up from it.
        device: where networks are.
        on_end: told what is played and how many of its games have ended.
        stop: asked before every step whether to stop.

    Raises:
        StoppedError: if ``stop()`` said so.
        ValueError: if there is no such agent or part.
    """
    others = {name: roster.load(name, device).policy for name in (*FIXED, *candidates)}
    partners, found = partners_of(part, device), []
    for setting, partner in product(settings, partners):
        for role in roles(setting):
            beside = seating(setting.players, games, role, len(partner.policies))
            alone = np.broadcast_to(beside.max(1, keepdims=True), beside.shape)
            scores = {}
            for name, policy in {ITSELF: partner.policies[0], **others}.items():
                played = play_many(
                    setting,
                    [policy, *partner.policies],
                    games,
                    seed,
                    alone if name == ITSELF else beside,
                    on_end=partial(on_end, f"{setting.name}: {name} with {partner.name}"),
                    stop=stop,
                )
                scores[name] = round(float(next(iter(played.outcome.values())).mean()), 3)
            best = max(scores, key=lambda name: scores[name])
            found.append(
                BestResponse(
                    part=part,
                    partner=partner.name,
                    setting=setting.name,
                    role=role,
                    best=best,
                    score=scores[best],
                    itself=scores[ITSELF],
                    games=games,
                    seed=seed,
                )
            )
    return found


def count(candidates: Sequence[str], settings: Sequence[Setting], part: str, games: int) -> int:
    """Games that ``find`` plays in all."""
    partners = len(PARTS[part].rule_lists) + 1 + len(PARTS[part].conventions)
    columns = partners * sum(len(roles(setting)) for setting in settings)
    return columns * games * (1 + len(dict.fromkeys((*FIXED, *candidates))))


def write(path: Path, found: Sequence[BestResponse]) -> None:
    """Writes a file that ``read`` accepts, a line for each."""
    lines = ",\n".join(json.dumps(asdict(one)) for one in found)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


@cache
def known() -> Mapping[Key, BestResponse]:
    """What is kept in the package."""
    text = (files("marl.crossplay") / "best_responses.json").read_text("utf-8")
    found = [BestResponse(**one) for one in json.loads(text)]
    return {one.key: one for one in found}
