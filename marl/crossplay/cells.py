"""Cross-play: agents that may never have met play together, every pairing of them.

The loop it serves::

    crossplay = Crossplay.open(config, entrants, folder)
    for cell in crossplay.pending():
        crossplay.play(cell)  # a file of its own; an interrupted run goes on
    # marl/crossplay/matrix.py makes figures of them:
    matrices = [matrix(crossplay, setting) for setting in config.parsed()]

A *cell* is one **guest** among **hosts**: agent A takes one seat and agent B all the others. With
two players that is the unordered pairing of A and B, whose two seatings are both in the cell. With
more there are two mixes, one A among Bs and one B among As: two cells. Where guest and hosts are
one agent, the cell is its self-play.

The guest's place in the order of turns goes round from game to game, so that everybody begins
equally often. Game i of every cell is dealt the same cards.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.r3d2.agent import R3D2Agent
from games.settings import Setting, parse_all
from marl.acting.guard import Guard
from marl.acting.table import Played, Table, admit, never, play_many
from marl.core import Policy
from marl.runs.roster import Member

SETTINGS_FILE = "settings.json"
CELLS_FOLDER = "cells"
FORMAT = "troupe cross-play 1"


@dataclass(frozen=True)
class CrossplayConfig:
    """What is played.

    Attributes:
        agents: who plays with whom, by their names.
        settings: names of what is played, each with a matrix of its own.
        games: games of every cell.
        seed: of the first game of every cell; the others count up from it.

    Raises:
        ValueError: if a value is out of range or named twice.
    """

    agents: tuple[str, ...]
    settings: tuple[str, ...]
    games: int = 1000
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.agents:
            raise ValueError("cross-play needs agents: name at least one")
        for agent in self.agents:
            if self.agents.count(agent) > 1:
                raise ValueError(f"agent {agent} is named twice")
        if self.games < 1:
            raise ValueError(f"games must be at least 1, got {self.games}")
        if self.seed < 0:
            raise ValueError(f"the seed of cross-play cannot be negative, got {self.seed}")
        for setting in self.parsed():
            if setting.seats < 2:
                raise ValueError(f"cross-play needs 2 players or more, {setting.name} has one")
        # One name for each setting, however they were written.
        names = tuple(setting.name for setting in self.parsed())
        object.__setattr__(self, "settings", names)

    def parsed(self) -> tuple[Setting, ...]:
        """What is played."""
        return parse_all(self.settings)


@dataclass(frozen=True)
class Entrant:
    """An agent that takes part.

    Attributes:
        name: what it is called in every table.
        policy: who plays.
        fingerprint: changes when the agent does; results of different ones are never mixed.
        restriction: maps a setting to the reason why the agent cannot play it, or to None where
            it can.
    """

    name: str
    policy: Policy
    fingerprint: str = ""
    restriction: Callable[[Setting], str | None] = lambda setting: None


@dataclass(frozen=True, order=True)
class Cell:
    """One guest among hosts.

    Attributes:
        number: place of the setting in the list of settings.
        guest, hosts: places in the list of agents.
        setting: what is played.
    """

    number: int
    guest: int
    hosts: int
    setting: Setting = field(compare=False)

    @property
    def path(self) -> str:
        """Where its games are kept, below the folder."""
        return f"{CELLS_FOLDER}/{self.setting.slug}-{self.guest:02}-{self.hosts:02}.json"

    def seating(self, num_games: int) -> NDArray[np.int64]:
        """Who sits where: int64 [num_games, players], 0 for the guest and 1 for hosts."""
        seats = np.arange(self.setting.seats)
        return (seats != np.arange(num_games)[:, None] % len(seats)).astype(np.int64)


class Crossplay:
    """A cross-play in a folder: its settings, and a file for every cell that has been played.

    Made by :meth:`open`.
    """

    def __init__(
        self,
        config: CrossplayConfig,
        entrants: Sequence[Entrant],
        folder: Path,
        unable: Mapping[Setting, Mapping[int, str]],
    ) -> None:
        self.config, self.entrants, self.folder = config, tuple(entrants), folder
        self.unable = unable
        """Reasons by setting and place in the list of agents."""

    @classmethod
    def open(cls, config: CrossplayConfig, entrants: Sequence[Entrant], folder: Path) -> Crossplay:
        """Begins in a folder, or goes on there.

        Raises:
            ValueError: if nobody can play some setting, or the folder holds anything else than
                this very cross-play.
        """
        assert config.agents == tuple(e.name for e in entrants)
        unable = {setting: _unable(setting, entrants) for setting in config.parsed()}
        # The order in which phrases are met is that of sums, and sums round: so that a cell does
        # not depend on those played before it, everybody is told of all settings at once.
        for setting, reasons in unable.items():
            for i, entrant in enumerate(entrants):
                if i not in reasons and isinstance(entrant.policy, R3D2Agent):
                    admit(entrant.policy, setting.batched(1))
        for setting, reasons in unable.items():
            if len(reasons) == len(entrants):
                raise ValueError(
                    f"nobody can play {setting.name}: {entrants[0].name}: {reasons[0]}"
                )
        settings = {
            "format": FORMAT,
            "troupe": metadata.version("troupe"),
            **asdict(config),
            "fingerprints": [entrant.fingerprint for entrant in entrants],
        }
        _agree(folder, json.loads(json.dumps(settings)))
        return cls(config, entrants, folder, unable)

    def cells(self) -> Iterator[Cell]:
        """Every cell whose agents can both play, in the order in which they are played."""
        for number, setting in enumerate(self.config.parsed()):
            able = [i for i in range(len(self.entrants)) if i not in self.unable[setting]]
            for guest in able:
                for hosts in able:
                    if setting.seats > 2 or guest <= hosts:
                        yield Cell(number, guest, hosts, setting)

    def pending(self) -> list[Cell]:
        """The cells that have not been played yet."""
        return [cell for cell in self.cells() if not (self.folder / cell.path).exists()]

    def play(
        self,
        cell: Cell,
        on_end: Callable[[int], None] = lambda games: None,
        stop: Callable[[], bool] = never,
    ) -> None:
        """Plays a cell and writes its file, whole or not at all.

        Raises:
            StoppedError: if ``stop()`` said so before all games had ended.
        """
        config = self.config
        policies = [self.entrants[cell.guest].policy, self.entrants[cell.hosts].policy]
        seating = cell.seating(config.games)
        if cell.guest == cell.hosts:  # all seats in one call
            policies, seating = policies[:1], np.zeros_like(seating)
        played = play_many(
            cell.setting, policies, config.games, config.seed, seating, on_end=on_end, stop=stop
        )
        values = {
            "setting": cell.setting.name,
            "guest": self.entrants[cell.guest].name,
            "hosts": self.entrants[cell.hosts].name,
            "outcome": {name: values.tolist() for name, values in played.outcome.items()},
            "returns": played.returns.tolist(),
            "truncated": np.flatnonzero(played.truncated).tolist(),
            "turns": played.turns.tolist(),
        }
        write_file(self.folder / cell.path, json.dumps(values, separators=(",", ":")) + "\n")

    def read(self, cell: Cell) -> Played:
        """The games of a cell that has been played.

        Raises:
            ValueError: if its file is damaged.
        """
        path = self.folder / cell.path
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            played = Played(
                {name: np.array(v, np.float32) for name, v in values["outcome"].items()},
                np.array(values["returns"], np.float32),
                np.isin(np.arange(self.config.games), values["truncated"]),
                np.array(values["turns"], np.int32),
            )
            lengths = {len(v) for v in (*played.outcome.values(), played.returns, played.turns)}
            whole = lengths == {self.config.games}
        except (ValueError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise ValueError(f"{path} is damaged: remove it, and its games are played again")
        return played


def _unable(setting: Setting, entrants: Sequence[Entrant]) -> dict[int, str]:
    """Why some of the entrants cannot play a setting, by their place in the list."""
    game = setting.batched(1)
    reasons = {}
    for i, entrant in enumerate(entrants):
        reason = entrant.restriction(setting)
        if reason is None:
            # Some players refuse a setting when they see it.
            try:
                Table(game, [entrant.policy]).choose()
            except ValueError as error:
                reason = str(error)
        if reason is not None:
            reasons[i] = reason
    return reasons


def _agree(folder: Path, settings: dict[str, Any]) -> None:
    """Writes the settings where there are none yet; refuses a folder that holds other ones."""
    path = folder / SETTINGS_FILE
    if not path.exists():
        if folder.is_dir() and any(file.suffix != ".tmp" for file in folder.iterdir()):
            raise ValueError(f"{folder} holds other files: name another folder")
        write_file(path, json.dumps(settings, indent=2) + "\n")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged: name another folder") from error
    if found == settings:
        return
    differ = [name for name in settings if found.get(name) != settings[name]]
    if differ == ["fingerprints"]:
        before, now = found["fingerprints"], settings["fingerprints"]
        changed = [n for n, a, b in zip(settings["agents"], before, now, strict=True) if a != b]
        raise ValueError(
            f"{folder} holds games of {', '.join(changed)} with other weights: name another folder"
        )
    first = differ[0] if differ else "settings"
    raise ValueError(
        f"{folder} holds a cross-play with other settings ({first} was {found.get(first)}, now "
        f"{settings.get(first)}): name another folder, or the settings that it was begun with"
    )


def enter(member: Member) -> Entrant:
    """A member of the roster as one who takes part."""
    policy = member.policy
    return Entrant(member.name, policy, fingerprint(policy), member.restriction)


def fingerprint(policy: Policy) -> str:
    """A short hash of a policy's weights; empty for one that has none."""
    if isinstance(policy, Guard):
        policy = policy.policy
    state = getattr(policy, "state_dict", None)
    if state is None:
        return ""
    digest = hashlib.sha256()
    for name, tensor in sorted(state().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def write_file(path: Path, text: str) -> None:
    """Writes a file, whole or not at all, whenever the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
