"""What was pressed, frame by frame, is a game: it can be played again, looked at and filmed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.gameboy.batch import ConsoleBatch
from games.gameboy.screen import beside

GAMES = ("blocks", "parcels")
"""What can be recorded: cartridges that are reset through their RAM."""


@dataclass(frozen=True)
class KeyRecord:
    """A game on our consoles.

    Attributes:
        game: ``blocks`` or ``parcels``.
        seed: of the episode.
        options: of the setting.
        keys: of each console, the mask held in each frame since the reset.
        players: what the seats are called.

    Raises:
        ValueError: if it is no such game.
    """

    game: str
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    keys: Sequence[Sequence[int]] = ()
    players: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.game not in GAMES:
            raise ValueError(f"a recorded game is {' or '.join(GAMES)}, got {self.game!r}")
        consoles = 1 if self.game == "blocks" else 2
        if len(self.keys) != consoles or len({len(masks) for masks in self.keys}) > 1:
            raise ValueError(f"{self.game} takes the keys of {consoles} consoles, of equal length")
        if not all(isinstance(mask, int) and 0 <= mask < 256 for row in self.keys for mask in row):
            raise ValueError("a mask of keys must be 0 to 255")

    def batched(self) -> ConsoleBatch:
        """The game before its first frame."""
        from games.gameboy import make_batched

        game = make_batched(self.game, len(self.keys), 1, self.seed, False, self.options)
        assert isinstance(game, ConsoleBatch)
        return game

    def frames(self, every: int = 1) -> Iterator[tuple[ConsoleBatch, NDArray[np.uint8]]]:
        """Plays it again.

        Args:
            every: frames from one picture to the next; the last frame is shown in any case.

        Yields:
            the game as it then stands, and what the consoles show, side by side.
        """
        game = self.batched()
        try:
            last = len(self.keys[0]) - 1
            for frame, masks in enumerate(zip(*self.keys, strict=True)):
                game.hold(masks)
                shown = frame % every == 0 or frame == last
                game.frame(shown)
                if shown:
                    yield game, beside(game.screens(draw=False))
        finally:
            game.close()

    def save(self, path: Path) -> None:
        """Writes it as JSON, equal masks in a row as one."""
        runs = [[[mask, len([*run])] for mask, run in groupby(masks)] for masks in self.keys]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**asdict(self), "keys": runs}) + "\n", encoding="utf-8")


def load(path: Path) -> KeyRecord:
    """Reads a record.

    Raises:
        ValueError: if the file holds none.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        keys = [[mask for mask, count in runs for _ in range(count)] for runs in data.pop("keys")]
        return KeyRecord(**data, keys=keys)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is no recorded game: {error}") from None


def is_record(path: Path) -> bool:
    """Whether a file is a record of a game on consoles, and not of another one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and data.get("game") in GAMES and "keys" in data
