"""What agents were made for: what is played where nobody names it."""

from __future__ import annotations

from collections.abc import Sequence

from games.settings import Setting, parse_numbers
from marl.runs.roster import Member


def own_settings(
    member: Member, players: str | None = None, preset: str | None = None
) -> tuple[Setting, ...]:
    """What an agent was trained on; of a player by rules, what its rules are for.

    Args:
        member: the agent.
        players: numbers of players to take instead of its own, such as "2-5".
        preset: preset of the rules to take instead of its own.

    Raises:
        ValueError: if a game cannot be played by so many.
    """
    found: dict[Setting, None] = {}
    for setting in member.config.settings():
        options = dict(setting.options)
        if preset is not None:
            options["preset"] = preset
        numbers: tuple[int, ...] = (setting.players,)
        if players is not None:
            numbers = parse_numbers(players, "--players")
        found |= dict.fromkeys(Setting(setting.game, number, options) for number in numbers)
    return tuple(found)


def common_settings(
    members: Sequence[Member], players: str | None = None, preset: str | None = None
) -> tuple[Setting, ...]:
    """What several agents were all made for, in the order of the first, where seats are shared.

    Players by rules go along with the others to whatever variant of their game those learned.

    Args:
        members: the agents.
        players: as of ``own_settings``.
        preset: likewise.

    Raises:
        ValueError: if they have nothing in common that two can play.
    """
    made_for = {member.name: own_settings(member, players, preset) for member in members}
    learned = [member.name for member in members if member.folder is not None] or list(made_for)
    games = set.intersection(*({one.game for one in own} for own in made_for.values()))
    found = tuple(
        setting
        for setting in made_for[learned[0]]
        if setting.players > 1
        and setting.game in games
        and all(setting in made_for[name] for name in learned)
    )
    if not found:
        each = "; ".join(
            f"{name} was made for {', '.join(one.name for one in own)}"
            for name, own in made_for.items()
        )
        raise ValueError(f"they have nothing in common that two can play: {each}")
    return found
