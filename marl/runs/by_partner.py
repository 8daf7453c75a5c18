"""Curves by partner, of a run that trains with partners: by the names of docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from games.settings import Setting
from marl.acting.actor import Actor
from marl.core import Table
from marl.replay.prioritised import PrioritisedReplay


def outcomes(
    settings: Sequence[Setting], actors: Sequence[Actor], labels: Sequence[str]
) -> Iterator[tuple[str, float]]:
    """Mean headline outcome of the training games since the last call, where there were any.

    Args:
        settings: of the run.
        actors: one for each.
        labels: what the learner alone and each partner are called.
    """
    which = np.array(labels)
    for setting, actor in zip(settings, actors, strict=True):
        if actor.seating is None:
            continue
        found = actor.outcomes()
        for label in dict.fromkeys(labels):
            games, total = found[which == label].sum(0)
            if games:
                name = f"partners/{setting.slug}/{label}/{actor.game.scoring[0]}"
                yield name, float(total / games)


def shares(
    settings: Sequence[Setting], replay: Table, labels: Sequence[str]
) -> Iterator[tuple[str, float]]:
    """What each has of the sequences in replay, and of the draws; nothing of a replay in shards."""
    if len(labels) == 1 or not isinstance(replay, PrioritisedReplay):
        return
    which = np.array(labels)
    for number, setting in enumerate(settings):
        held = replay.by_partner(number, len(labels) - 1)
        for label in dict.fromkeys(labels) if held.any() else ():
            for name, share in zip(
                ("sequences", "drawn"), held[which == label].sum(0) / held.sum(0), strict=True
            ):
                yield f"partners/{setting.slug}/{label}/{name}", float(share)


def learned(told: Mapping[str, Sequence[float]], labels: Sequence[str]) -> dict[str, float]:
    """Means of what updates told by name; ``td_error/K`` is of the K-th partner."""
    values: dict[str, list[float]] = {}
    for name, found in told.items():
        metric, _, number = name.partition("/")
        whose = number.isdigit() and int(number) < len(labels)
        where = f"partners/{labels[int(number)]}/{metric}" if whose else f"learn/{name}"
        values.setdefault(where, []).extend(found)
    return {name: float(np.mean(found)) for name, found in values.items()}
