"""Cross-play: agents that may never have met play together, every pairing of them.

The loop it serves::

    crossplay = Crossplay.open(config, entrants, folder)
    for cell in crossplay.pending():
        crossplay.play(cell)  # a file of its own; an interrupted run goes on
    # marl/crossplay/matrix.py makes figures of them:
    matrices = [matrix(crossplay, players) for players in config.players]

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
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import games
from games.core import BatchedGame
from marl.acting.actor import observe
from marl.core import Policy

SETTINGS_FILE = "settings.json"
CELLS_FOLDER = "cells"
FORMAT = "troupe cross-play 1"


@dataclass(frozen=True)
class CrossplayConfig:
    """What is played.

    Attributes:
        agents: who plays with whom, by their names.
        players: numbers of players, each with a matrix of its own.
        games: games of every cell.
        seed: of the first game of every cell; the others count up from it.
        game: name of the game.
        variant: preset of its rules.

    Raises:
        ValueError: if a value is out of range or named twice.
    """

    agents: tuple[str, ...]
    players: tuple[int, ...] = (2, 3, 4, 5)
    games: int = 1000
    seed: int = 1
    game: str = "hanabi"
    variant: str = "full"

    def __post_init__(self) -> None:
        if not self.agents:
            raise ValueError("cross-play needs agents: name at least one")
        if not self.players:
            raise ValueError("cross-play needs a number of players: name at least one")
        for what, values in (("agent", self.agents), ("number of players", self.players)):
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"{what} {value} is named twice")
        if self.games < 1:
            raise ValueError(f"games must be at least 1, got {self.games}")
        if self.seed < 0:
            raise ValueError(f"the seed of cross-play cannot be negative, got {self.seed}")
        for players in self.players:
            if players < 2:
                raise ValueError(f"cross-play needs 2 players or more, got {players}")

    def make_game(self, players: int, num_games: int, seed: int) -> BatchedGame:
        """A batch of the game.

        Raises:
            ValueError: if the game cannot be played by so many.
        """
        return games.batched(self.game, num_games, seed, players=players, preset=self.variant)


@dataclass(frozen=True)
class Entrant:
    """An agent that takes part.

    Attributes:
        name: what it is called in every table.
        policy: who plays.
        fingerprint: changes when the agent does; results of different ones are never mixed.
        restriction: maps a number of players to the reason why the agent cannot play with so
            many, or to None where it can.
    """

    name: str
    policy: Policy
    fingerprint: str = ""
    restriction: Callable[[int], str | None] = lambda players: None


@dataclass(frozen=True, order=True)
class Cell:
    """One guest among hosts; ``guest`` and ``hosts`` are places in the list of agents."""

    players: int
    guest: int
    hosts: int

    @property
    def path(self) -> str:
        """Where its games are kept, below the folder."""
        return f"{CELLS_FOLDER}/{self.players}p-{self.guest:02}-{self.hosts:02}.json"

    def seating(self, num_games: int) -> NDArray[np.int64]:
        """Who sits where: int64 [num_games, players], 0 for the guest and 1 for hosts."""
        seats = np.arange(self.players)
        return (seats != np.arange(num_games)[:, None] % self.players).astype(np.int64)


@dataclass(frozen=True)
class Played:
    """The games of a cell, in the order of their seeds.

    Attributes:
        points: float32 [N], points on the table when the game ended.
        lost: bool [N], whether the game was lost.
        turns: int32 [N], moves of all seats together.
    """

    points: NDArray[np.float32]
    lost: NDArray[np.bool_]
    turns: NDArray[np.int32]

    def scores(self, rule: str) -> NDArray[np.float64]:
        """float64 [N], the scores under one of ``marl.acting.evaluate.RULES``."""
        points = self.points.astype(np.float64)
        return np.where(self.lost, 0.0, points) if rule == "zero" else points


def play_table(
    policies: Sequence[Policy],
    seating: NDArray[np.int64],
    game: BatchedGame,
    on_end: Callable[[int], None] = lambda games: None,
) -> Played:
    """Plays the first episode of every game, greedily, seats being held by different policies.

    Each policy is called once a step, with the rows of all the seats that it holds and that are to
    act. Every seat has a memory of its own, whoever holds the others.

    Args:
        policies: who may hold a seat.
        seating: int64 [num_games, players], the policy of each seat.
        game: the batch; finished games restart and play on, uncounted.
        on_end: told how many games have ended, at every step that ends any.

    Raises:
        ValueError: if ``seating`` does not fit the batch.
    """
    n = game.num_games
    if seating.shape != (n, game.num_players):
        raise ValueError(
            f"seating must have shape ({n}, {game.num_players}), got {tuple(seating.shape)}"
        )
    points, lost, turns = np.zeros(n, np.float32), np.zeros(n, np.bool_), np.zeros(n, np.int32)
    memory = [np.zeros((n, game.num_players, p.memory_size), np.float32) for p in policies]
    move = np.zeros(n, np.int64)
    playing = np.arange(n)
    while len(playing):
        seat = game.seat[playing].astype(np.int64)
        holder = seating[playing, seat]
        # Games that are over play on (their first choice, which is always legal) uncounted.
        move[:] = 0
        for k, policy in enumerate(policies):
            mine = holder == k
            if mine.any():
                rows, seats = playing[mine], seat[mine]
                chosen, _, after = policy.act(observe(game)[rows], memory[k][rows, seats])
                move[rows], memory[k][rows, seats] = chosen, after
        step = game.step(move)
        turns[playing] += 1
        ended = (step.terminated | step.truncated)[playing]
        if ended.any():
            over = playing[ended]
            points[over], lost[over] = step.scores[over], step.lost[over]
            playing = playing[~ended]
            on_end(len(over))
    return Played(points, lost, turns)


class Crossplay:
    """A cross-play in a folder: its settings, and a file for every cell that has been played.

    Made by :meth:`open`.
    """

    def __init__(
        self,
        config: CrossplayConfig,
        entrants: Sequence[Entrant],
        folder: Path,
        unable: Mapping[int, Mapping[int, str]],
    ) -> None:
        self.config, self.entrants, self.folder = config, tuple(entrants), folder
        self.unable = unable
        """Reasons by number of players and place in the list of agents."""

    @classmethod
    def open(cls, config: CrossplayConfig, entrants: Sequence[Entrant], folder: Path) -> Crossplay:
        """Begins in a folder, or goes on there.

        Raises:
            ValueError: if nobody can play some number of players, or the folder holds anything
                else than this very cross-play.
        """
        assert config.agents == tuple(e.name for e in entrants)
        unable = {players: _unable(config, entrants, players) for players in config.players}
        for players, reasons in unable.items():
            if len(reasons) == len(entrants):
                raise ValueError(
                    f"nobody can play with {players} players: {entrants[0].name}: {reasons[0]}"
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
        for players in self.config.players:
            able = [i for i in range(len(self.entrants)) if i not in self.unable[players]]
            for guest in able:
                for hosts in able:
                    if players > 2 or guest <= hosts:
                        yield Cell(players, guest, hosts)

    def pending(self) -> list[Cell]:
        """The cells that have not been played yet."""
        return [cell for cell in self.cells() if not (self.folder / cell.path).exists()]

    def play(self, cell: Cell, on_end: Callable[[int], None] = lambda games: None) -> None:
        """Plays a cell and writes its file, whole or not at all."""
        config = self.config
        policies = [self.entrants[cell.guest].policy, self.entrants[cell.hosts].policy]
        seating = cell.seating(config.games)
        if cell.guest == cell.hosts:  # all seats in one call
            policies, seating = policies[:1], np.zeros_like(seating)
        game = config.make_game(cell.players, config.games, config.seed)
        played = play_table(policies, seating, game, on_end)
        values = {
            "players": cell.players,
            "guest": self.entrants[cell.guest].name,
            "hosts": self.entrants[cell.hosts].name,
            "points": played.points.tolist(),
            "lost": np.flatnonzero(played.lost).tolist(),
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
                np.array(values["points"], np.float32),
                np.isin(np.arange(self.config.games), values["lost"]),
                np.array(values["turns"], np.int32),
            )
            whole = len(played.points) == len(played.turns) == self.config.games
        except (json.JSONDecodeError, KeyError, TypeError):
            whole = False
        if not whole:
            raise ValueError(f"{path} is damaged: remove it, and its games are played again")
        return played


def _unable(config: CrossplayConfig, entrants: Sequence[Entrant], players: int) -> dict[int, str]:
    """Why some of the entrants cannot play with so many, by their place in the list."""
    game = config.make_game(players, 1, config.seed)
    reasons = {}
    for i, entrant in enumerate(entrants):
        reason = entrant.restriction(players)
        if reason is None:
            # Some players refuse a setting when they see it.
            try:
                memory = np.zeros((1, entrant.policy.memory_size), np.float32)
                entrant.policy.act(observe(game)[np.arange(1)], memory)
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


def enter(name: str, config: CrossplayConfig, device: str = "cpu") -> Entrant:
    """Makes an entrant of a name in the roster.

    Raises:
        ValueError: if there is no such agent.
    """
    from marl.runs import roster  # it imports torch

    member = roster.load(name, device)
    return Entrant(
        name,
        member.policy,
        fingerprint(member.policy),
        lambda players: member.restriction(players, config.variant),
    )


def fingerprint(policy: Policy) -> str:
    """A short hash of a policy's weights; empty for one that has none."""
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
