"""Settings: a game with its number of players and its options, and how it is named.

A name is ``GAME[:PLAYERS][@OPTION]...``. An option is ``name=value``, or the name of a preset::

    hanabi:2                      two-player Hanabi
    hanabi:2-5                    four settings, one for each number of players
    hanabi:3@small                fewer colours and ranks
    supply-chain:4@margin=1.2     a parameter of the game
    classic/tictactoe-v3          an environment of PettingZoo's registry
    supply-chain@manager=none     options that begin with "manager" suit every game: games.managed

Where a game can be played by one number of players only, or none is named, its usual number is
meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol

from games.core import BatchedGame
from games.hyperparameters import Hyperparameters

_MOST_NUMBERS = 1000  # that one range may name

Value = int | float | bool | str | None
"""What an option can be set to."""


class Room(Protocol):
    """What the package of a game, or of several, offers: a module with one function."""

    def make_batched(
        self,
        name: str,
        players: int,
        num_games: int,
        seed: int,
        restart: bool,
        options: Mapping[str, Any],
    ) -> BatchedGame:
        """A batch of one of its games.

        Args:
            name: which of its games.
            players: seats of each game, one of ``GameInfo.players``.
            num_games: N.
            seed: the k-th episode of game i has the seed ``seed + i + k * N``.
            restart: whether finished games start again inside ``step``.
            options: the game's own; ``preset`` names a set of them.

        Raises:
            ValueError: if an option is unknown or out of range.
        """
        ...


@dataclass(frozen=True)
class GameInfo:
    """Where a game is found, and by how many it can be played.

    Attributes:
        room: the module that makes it.
        players: numbers of seats it can be played with.
        usual: the number that is meant where none is named.
        at_once: games that a training run plays at once at the most, where a game is a world of
            its own that takes memory and a process's time to make.
        hyperparameters: what suits it when it is learned.
        manager: the same of a manager of it: options, as a name has them.
    """

    room: str
    players: tuple[int, ...]
    usual: int
    at_once: int = 4096
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    manager: str = ""


# Short worlds with rewards at every step, and words that mean nothing until somebody tries them.
_PARTICLES = Hyperparameters(gamma=0.95, epsilon=0.7, epsilon_spread=4.0, temperature=0.0)

# Time is in frames here: some eight go by from one piece to the next, two from row to row.
_BLOCKS = Hyperparameters(gamma=0.996, n_step=5)
_PARCELS = Hyperparameters(gamma=0.93, n_step=4)

# One word to everybody for a whole game is learned; a word to each in every period is not.
_SUPPLY = (
    "manager_deeds=large-supplier@manager_every=30@manager_offers=0.3,0.4,0.5@manager_together=true"
)

GAMES: dict[str, GameInfo] = {
    "blocks": GameInfo("games.gameboy", (1,), 1, 32, _BLOCKS),
    "gameboy": GameInfo("games.gameboy", (1,), 1, 32),
    "hanabi": GameInfo("games.hanabi", (2, 3, 4, 5), 2),
    "parcels": GameInfo("games.gameboy", (2,), 2, 32, _PARCELS),
    "simple-reference": GameInfo("games.mpe", (2,), 2, hyperparameters=_PARTICLES),
    "simple-speaker-listener": GameInfo("games.mpe", (2,), 2, hyperparameters=_PARTICLES),
    "simple-spread": GameInfo("games.mpe", (2, 3, 4, 5, 6), 3, hyperparameters=_PARTICLES),
    "tracking": GameInfo("games.tracking", (1,), 1),
    "pursuit": GameInfo("games.zoo", tuple(range(1, 17)), 8, 16),
    "knights-archers-zombies": GameInfo("games.zoo", tuple(range(1, 9)), 4, 16),
    "cooperative-pong": GameInfo("games.zoo", (2,), 2, 16),
    "supply-chain": GameInfo("games.supply_chain", (2, 3, 4), 3, manager=_SUPPLY),
    "escape-room": GameInfo("games.social", (2, 3, 4, 5), 2),
    "prisoners-dilemma": GameInfo("games.social", (2,), 2),
    "stag-hunt": GameInfo("games.social", (2, 3, 4, 5), 2),
    "harvest": GameInfo("games.social", (1, 2, 3, 4), 2),
}
"""Every game that can be named, beside PettingZoo's, which have a slash in their names."""


@dataclass(frozen=True, eq=False)
class Setting:
    """A game with its number of players and its options. Settings of one name are equal.

    Attributes:
        game: a name out of ``GAMES``.
        players: seats, without a manager's.
        options: the game's own, in the order of their names; 3.0 becomes 3.

    Raises:
        ValueError: if the game is unknown, cannot be played by so many, or an option has no name.
    """

    game: str
    players: int
    options: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        info = find_game(self.game)
        if self.players not in info.players:
            known = ", ".join(map(str, info.players))
            raise ValueError(f"{self.game} is played by {known} players, got {self.players}")
        if "" in self.options:
            raise ValueError(f"an option of {self.game} has no name: write @name=value or @preset")
        if "players" in self.options:
            raise ValueError(
                f"write the number of players as {self.game}:{self.options['players']}"
            )
        options = {name: _plain(value) for name, value in sorted(self.options.items())}
        object.__setattr__(self, "options", options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Setting) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def name(self) -> str:
        """The name that ``parse`` reads, the shortest one."""
        one = len(find_game(self.game).players) == 1
        options = [
            f"@{value}" if name == "preset" else f"@{name}={_written(value)}"
            for name, value in self.options.items()
        ]
        return "".join([self.game, "" if one else f":{self.players}", *options])

    @property
    def seats(self) -> int:
        """Seats of a game: the players', and the manager's where there is one."""
        manager = self.options.get("manager")
        return self.players + (manager in import_module("games.manager").SPEAKING)

    @property
    def at_once(self) -> int:
        """Games that a training run plays at once at the most."""
        # Consoles are what takes memory and time to make.
        many = self.options.get("emulated") is False
        return GameInfo.at_once if many else find_game(self.game).at_once

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What suits the game when it is learned."""
        return find_game(self.game).hyperparameters

    @property
    def slug(self) -> str:
        """The name with letters, digits, dots and dashes only, for files and curves."""
        return re.sub(r"[^A-Za-z0-9.]", "-", self.name)

    def batched(self, num_games: int, seed: int = 0, restart: bool = True) -> BatchedGame:
        """A batch of the game; see ``games.batched``."""
        room: Room = import_module(find_game(self.game).room)  # type: ignore[assignment]
        own, manager = dict(self.options), {}
        for name in self.options:
            if name == "manager" or name.startswith("manager_"):
                manager[name] = own.pop(name)
        game = room.make_batched(self.game, self.players, num_games, seed, restart, own)
        if manager:
            game = import_module("games.managed").managed(game, manager)
        return game


def find_game(name: str) -> GameInfo:
    """What is known of a game.

    Raises:
        ValueError: if there is none of the name.
    """
    if "/" in name:
        return _find_registered(name)
    if name not in GAMES:
        if near := difflib.get_close_matches(name, GAMES, n=1):
            raise ValueError(f"unknown game {name!r}: did you mean {near[0]}?")
        raise ValueError(f"unknown game {name!r}; there are {', '.join(GAMES)}")
    return GAMES[name]


@lru_cache(maxsize=64)
def _find_registered(id: str) -> GameInfo:
    """An environment of PettingZoo's registry, such as ``classic/tictactoe-v3``.

    Options may change the number of its agents, so that any is allowed here.
    """
    usual = import_module("games.zoo").count_seats(id)
    return GameInfo("games.zoo", tuple(range(1, max(64, usual) + 1)), usual, 16)


def parse(name: str) -> tuple[Setting, ...]:
    """The settings that a name stands for, one for each number of players it names.

    Raises:
        ValueError: if it cannot be read, or names something that is not there.
    """
    head, *tail = name.split("@")
    game, colon, numbers = head.partition(":")
    info = find_game(game)
    options: dict[str, Value] = {}
    for part in tail:
        key, equals, value = part.partition("=")
        key, given = (key.replace("-", "_"), _read(value)) if equals else ("preset", part)
        if not part or key in options:
            raise ValueError(f"setting {name!r}: write each option once, as @name=value or @preset")
        options[key] = given
    players = parse_numbers(numbers, "players") if colon else (info.usual,)
    return tuple(Setting(game, number, options) for number in players)


def parse_all(names: Iterable[str]) -> tuple[Setting, ...]:
    """The settings of several names, in order.

    Raises:
        ValueError: if there is none, one cannot be read, or one is named twice.
    """
    settings = tuple(setting for name in names for setting in parse(name))
    if not settings:
        raise ValueError("name at least one game")
    for setting in settings:
        if settings.count(setting) > 1:
            raise ValueError(f"{setting.name} is named twice")
    return settings


def complete(
    names: Iterable[str],
    players: str | None,
    preset: str | None,
    manager: str | None = None,
    *,
    suited: bool = False,
) -> tuple[str, ...]:
    """Names with what stands beside them on a command line.

    Args:
        names: of settings.
        players: for those that name no number of players.
        preset: for those that name no option.
        manager: a kind of manager, for those that name none.
        suited: whether a manager with incentives is to have the options that suit it when it is
            learned; for names that have none of a manager's.

    Raises:
        ValueError: if one of these games is unknown.
    """
    found = []
    for name in names:
        head, at, tail = name.partition("@")
        if players is not None and ":" not in head:
            head = f"{head}:{players}"
        if preset is not None and not at:
            at, tail = "@", preset
        if manager is not None and "@manager=" not in f"{at}{tail}":
            options = [f"manager={manager}", tail]
            if suited and manager == "incentives" and "@manager_" not in f"{at}{tail}":
                options.append(find_game(head.partition(":")[0]).manager)
            at, tail = "@", "@".join(filter(None, options))
        found.append(f"{head}{at}{tail}")
    return tuple(found)


def parse_numbers(text: str, what: str) -> tuple[int, ...]:
    """Numbers such as "2", "2-5" or "2,4", in ascending order.

    Raises:
        ValueError: if they cannot be read.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            low, high = int(first), int(last) if dash else int(first)
        except ValueError:
            raise ValueError(f'{what} must look like "2", "2-5" or "2,4", got {text!r}') from None
        if low > high:
            raise ValueError(f"{what} {part!r} runs backwards: write {high}-{low}")
        if high - low >= _MOST_NUMBERS:
            raise ValueError(f"{what} {part!r} are too many: name at most {_MOST_NUMBERS}")
        found.update(range(low, high + 1))
    return tuple(sorted(found))


def _read(text: str) -> Value:
    words: dict[str, Value] = {"true": True, "false": False, "none": None}
    if text in words:
        return words[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _plain(value: Value) -> Value:
    """A whole number as such, however it was written."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _written(value: Value) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
