"""Points with partners never met: ad-hoc teamwork with those of a part of the split.

One agent among partners of one kind: as a *guest* it holds one seat and one partner all others; as
*hosts* it holds all seats but one. With two players both are the same. The guest's place in the
order of turns goes round from game to game, and game i of every meeting is dealt the same cards.

Rule lists and conventions are averaged apart, every partner weighing the same; the random lists are
one partner, another list from game to game. Intervals are bootstrapped (Efron 1979; percentiles)
over deals, those of the random lists over lists. A partner that an agent met in training, or that
it is itself, is marked and left out of a learning agent's means. Shares are of the best response
to each partner (``marl.crossplay.best_response``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from games.settings import Setting
from marl.acting.table import Played, StoppedError, never, play_many
from marl.crossplay import best_response
from marl.crossplay.matrix import LEVEL, LOST, RESAMPLES, Estimate, Sample
from marl.crossplay.partners import (
    CONVENTIONS,
    RULE_LISTS,
    Partner,
    partners_of,
    roles,
    seating,
)
from marl.runs import roster
from marl.runs.split import PARTS

REFERENCES = ("bot:piers", "bot:iggi")
"""Whose rows stand below everybody's."""


@dataclass(frozen=True)
class Meeting:
    """What the games of an agent with a partner came to.

    Attributes:
        agent, partner: their names.
        kind: of the partner.
        setting: name of what was played.
        role: of the agent, ``GUEST`` or ``HOSTS``.
        games: how many were played.
        scores: by outcome but ``lost``, the headline first.
        lost_share: share of games that were lost, None where a game cannot be.
        met: whether the agent had met the partner in training, or is it.
        best: who does best beside the partner, as far as is known; None where nothing is.
        best_score: what they come to.
        share: of that, by the headline.
    """

    agent: str
    partner: str
    kind: str
    setting: str
    role: str
    games: int
    scores: Mapping[str, Estimate]
    lost_share: float | None
    met: bool
    best: str | None
    best_score: float | None
    share: float | None


@dataclass(frozen=True)
class Average:
    """An agent's mean over the partners of a kind that it had not met.

    Attributes:
        agent, kind, setting, role: as of a ``Meeting``.
        partners: how many are averaged.
        scores: by outcome but ``lost``; None where there is no partner.
        lost_share: likewise.
        share: of the best responses; None where they are not known.
    """

    agent: str
    kind: str
    setting: str
    role: str
    partners: int
    scores: Mapping[str, Estimate] | None
    lost_share: float | None
    share: float | None


@dataclass(frozen=True)
class Adhoc:
    """Everything that was found.

    Attributes:
        part: of the split.
        games: of every meeting.
        seed: of the first game of every meeting; the others count up from it.
        meetings: every agent with every partner; the first of them where it was stopped.
        averages: by agent and kind, of agents that have met all partners.
        whole: whether it was not stopped.
    """

    part: str
    games: int
    seed: int
    meetings: tuple[Meeting, ...]
    averages: tuple[Average, ...]
    whole: bool = True


def measure(
    agents: Sequence[str],
    settings: Sequence[Setting],
    *,
    part: str = "test",
    games: int = 200,
    seed: int = 1,
    device: str = "cpu",
    on_end: Callable[[str, int], None] = lambda what, games: None,
    stop: Callable[[], bool] = never,
) -> Adhoc:
    """Lets agents, and the ``REFERENCES``, play with every partner of a part of the split.

    The same agents, games and seed give the same figures on the same machine.

    Args:
        agents: names in the roster.
        settings: what is played, each of Hanabi.
        part: of the split.
        games: of every meeting, at least one for each place of the guest.
        seed: of the first game of every meeting; the others count up from it.
        device: where networks are.
        on_end: told what is played and how many of its games have ended.
        stop: asked before every step whether to stop; what has been found by then is returned.

    Raises:
        ValueError: if there is no such agent or part, somebody cannot play a setting, or a number
            is out of range.
    """
    if seed < 0:
        raise ValueError(f"the seed cannot be negative, got {seed}")
    for setting in settings:
        if setting.players < 2:
            raise ValueError(f"{setting.name} has no seat for a partner")
        if games < setting.players:
            raise ValueError(
                f"games must be at least the {setting.players} players of {setting.name}, "
                f"got {games}"
            )
    partners = partners_of(part, device)
    members = [roster.load(name, device) for name in dict.fromkeys((*agents, *REFERENCES))]
    for setting in settings:
        game = setting.batched(1)
        for member in members:
            reason = member.restriction(setting) or roster.refusal(member.policy, game)
            if reason is not None:
                raise ValueError(f"{member.name} cannot play {setting.name}: {reason}")
    meetings, averages = list[Meeting](), list[Average]()
    try:
        for setting in settings:
            for role in roles(setting):
                for member in members:
                    samples = dict[str, dict[str, Sample]]()
                    first = len(meetings)
                    for partner in partners:
                        what = f"{setting.name}: {member.name} with {partner.name}"
                        played = play_many(
                            setting,
                            [member.policy, *partner.policies],
                            games,
                            seed,
                            seating(setting.players, games, role, len(partner.policies)),
                            on_end=partial(on_end, what),
                            stop=stop,
                        )
                        samples[partner.name] = _samples(
                            played, setting.players, len(partner.policies), seed
                        )
                        estimates = {k: v.estimate() for k, v in samples[partner.name].items()}
                        best = best_response.known().get((part, partner.name, setting.name, role))
                        meetings.append(
                            _meeting(member, partner, setting, role, played, estimates, best)
                        )
                    ours = meetings[first:]
                    averages += [
                        _average(ours, kind, samples) for kind in (RULE_LISTS, CONVENTIONS)
                    ]
    except StoppedError:
        return Adhoc(part, games, seed, tuple(meetings), tuple(averages), whole=False)
    return Adhoc(part, games, seed, tuple(meetings), tuple(averages))


def _meeting(
    member: roster.Member,
    partner: Partner,
    setting: Setting,
    role: str,
    played: Played,
    scores: Mapping[str, Estimate],
    best: best_response.BestResponse | None,
) -> Meeting:
    return Meeting(
        member.name,
        partner.name,
        partner.kind,
        setting.name,
        role,
        len(played),
        scores,
        float(played.outcome[LOST].mean()) if LOST in played.outcome else None,
        partner.name in _known(member),
        None if best is None else best.best,
        None if best is None else best.score,
        None if best is None else next(iter(scores.values())).mean / best.score,
    )


def count(agents: Sequence[str], settings: Sequence[Setting], part: str, games: int) -> int:
    """Games that ``measure`` plays in all."""
    rows = len(dict.fromkeys((*agents, *REFERENCES)))
    columns = len(PARTS[part].rule_lists) + 1 + len(PARTS[part].conventions)
    return rows * columns * games * sum(len(roles(setting)) for setting in settings)


def _known(member: roster.Member) -> frozenset[str]:
    """The partners that an agent has met, or is; those who play by rules have met nobody."""
    if member.folder is None:
        return frozenset()
    return member.config.met() | {member.folder.name}


def _samples(played: Played, players: int, policies: int, seed: int) -> dict[str, Sample]:
    """Means and their replicates by outcome, over deals or, where there are several, policies."""
    games = len(played.turns)
    drawn = np.arange(games) // players % policies if policies > 1 else np.arange(games)
    weights = np.bincount(drawn).astype(np.float64)
    n = len(weights)
    rng = np.random.default_rng([seed, players])
    draws = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)
    found = {}
    for name, values in played.outcome.items():
        if name != LOST:
            totals = np.bincount(drawn, values.astype(np.float64))
            found[name] = Sample(float(totals.sum() / games), draws @ totals / (draws @ weights))
    return found


def _average(
    meetings: Sequence[Meeting], kind: str, samples: Mapping[str, Mapping[str, Sample]]
) -> Average:
    """Over the partners of a kind that were not met."""
    one = meetings[0]
    chosen = [m for m in meetings if m.kind == kind and not m.met]
    scores = {
        name: Sample.average([samples[m.partner][name] for m in chosen]).estimate()
        for name in (one.scores if chosen else ())
    }
    lost = [m.lost_share for m in chosen if m.lost_share is not None]
    shares = [m.share for m in chosen if m.share is not None]
    return Average(
        one.agent,
        kind,
        one.setting,
        one.role,
        len(chosen),
        scores or None,
        float(np.mean(lost)) if lost else None,
        float(np.mean(shares)) if shares and len(shares) == len(chosen) else None,
    )


def report(found: Adhoc) -> dict[str, Any]:
    """Everything, for JSON."""
    return {**asdict(found), "confidence": LEVEL, "resamples": RESAMPLES}


def table(found: Adhoc) -> str:
    """Every meeting as a line of CSV, headings first."""
    text = io.StringIO()
    lines = list(_lines(found))
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _lines(found: Adhoc) -> Iterator[dict[str, Any]]:
    for meeting in found.meetings:
        line = {k: v for k, v in asdict(meeting).items() if k != "scores"}
        for name, estimate in meeting.scores.items():
            line |= {
                name: round(estimate.mean, 4),
                f"{name}_low": round(estimate.low, 4),
                f"{name}_high": round(estimate.high, 4),
            }
        yield line


def save(path: Path, text: str) -> None:
    """Writes a file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
