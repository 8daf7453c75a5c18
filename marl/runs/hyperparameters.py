"""Which hyperparameters each setting of a run is learned with.

What a game names as its own (``games.settings.GAMES``) is the beginning; a run's ``learner`` and
``actor`` may choose otherwise for all settings, and its ``per_setting`` for some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from games.hyperparameters import NAMES, Hyperparameters, check
from games.settings import Setting, parse

Part = TypeVar("Part")


def choose(
    settings: Sequence[Setting], learner: object, actor: object, per_setting: Sequence[str]
) -> tuple[Hyperparameters, ...]:
    """What every setting is learned with.

    Args:
        settings: of a run.
        learner: what the run says of all settings; None where it says nothing.
        actor: likewise.
        per_setting: what it says of some, such as ``simple-reference.gamma=0.95``. The last counts.

    Raises:
        ValueError: if one of them cannot be read, is out of range, or names what is not learned; or
            if something is said of all settings when each has its own.
    """
    own: list[dict[str, Any]] = [{} for _ in settings]
    for text in per_setting:
        game, name, value = _read(text)
        places = [i for i, setting in enumerate(settings) if _means(game, setting)]
        if not places:
            known = ", ".join(setting.name for setting in settings)
            raise ValueError(f"per_setting {text!r}: {game} is not learned, only {known}")
        for i in places:
            own[i][name] = value
    for part, prefix in ((learner, "learner"), (actor, "actor")):
        for name in NAMES:
            given = getattr(part, name, None)
            if given is not None and all(name in mine for mine in own):
                raise ValueError(
                    f"{prefix}.{name}={given} says nothing, as per_setting has a {name} for every "
                    "setting: leave out one of the two"
                )
    return tuple(
        replace(setting.hyperparameters.updated(learner, actor), **mine)
        for setting, mine in zip(settings, own, strict=True)
    )


def common(part: Part, chosen: Sequence[Hyperparameters]) -> Part:
    """A run's ``learner`` or ``actor`` with what all its settings have in common.

    Where they differ, None stands; ``differing`` says the rest.
    """
    fields: dict[str, Any] = {}
    for name in NAMES:
        if hasattr(part, name):
            values = {getattr(one, name) for one in chosen}
            fields[name] = values.pop() if len(values) == 1 else None
    return replace(part, **fields)  # type: ignore[type-var]


def differing(settings: Sequence[Setting], chosen: Sequence[Hyperparameters]) -> tuple[str, ...]:
    """In what the settings of a run differ, as ``choose`` reads it."""
    names = [name for name in NAMES if len({getattr(one, name) for one in chosen}) > 1]
    return tuple(
        f"{setting.name}.{name.replace('_', '-')}={getattr(one, name)!r}"
        for setting, one in zip(settings, chosen, strict=True)
        for name in names
    )


def _read(text: str) -> tuple[str, str, int | float]:
    """Game, name and value of one of ``per_setting``."""
    left, _, number = text.rpartition("=")
    game, _, name = left.rpartition(".")
    name = name.replace("-", "_")
    if not game or name not in NAMES:
        known = ", ".join(name.replace("_", "-") for name in NAMES)
        raise ValueError(
            f"per_setting {text!r}: write it as simple-reference.gamma=0.95, a game or a setting, "
            f"a dot, and one of {known}"
        )
    try:
        value = int(number) if name == "n_step" else float(number)
    except ValueError:
        what = "whole number" if name == "n_step" else "number"
        raise ValueError(f"per_setting {text!r}: {number!r} is no {what}") from None
    check({name: value}, f"per_setting {text!r}: ")
    return game, name, value


def _means(game: str, setting: Setting) -> bool:
    """Whether a name is that of a game, all of whose settings are meant, or means a setting."""
    if ":" in game or "@" in game:
        return setting in parse(game)
    return setting.game == game
