"""``gameboy``: a person's own cartridge as a batched game of raw buttons.

``gameboy@rom=tetris.gb``. A title that is known has facts, a score and an end of its own
(``games.gameboy.titles``); any other is described by its tiles and sprites, and is paid by what a
place in its RAM gains, if one is named.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.gameboy.batch import ConsoleBatch
from games.gameboy.console import KEYS, Console
from games.gameboy.describe import Tiles
from games.gameboy.presses import Presses, Timing
from games.gameboy.ram import Field, RamMap
from games.gameboy.titles import Title, recognise, symbols
from games.text import MAX_PHRASES, PAD, Phrasebook

BUTTONS = ("I press nothing", *(f"I press {key}" for key in KEYS))
_NOTHING_READ = RamMap([Field("unused", "a title's RAM is read field by field")])


@dataclass(frozen=True)
class CartridgeConfig:
    """The game.

    Attributes:
        rom: file of the cartridge.
        title: ``auto`` for what the header says, ``any`` to describe tiles and sprites only.
        any_version: whether a title's unknown version is taken as well.
        score_at: for a title that is not known, the address of a number in RAM whose gains are
            paid, such as 0xC0A0; None for none.
        score_bytes: bytes of that number, little-endian.
        over_at: an address that is not 0 when the game is over; None for none.
        boot: for a title that is not known, frames before a game begins.
        turns: decisions after which a game is cut off.
        most_facts: facts of an observation at most.
        timing: when choices act.
        threads: how many run consoles; 0 for as many as there are cores.
    """

    rom: str = ""
    title: str = "auto"
    any_version: bool = False
    score_at: str | int | None = None
    score_bytes: int = 2
    over_at: str | int | None = None
    boot: int = 180
    turns: int = 2000
    most_facts: int = 160
    timing: Timing = field(default_factory=lambda: Timing(every=4))
    threads: int = 0

    def __post_init__(self) -> None:
        if not self.rom:
            raise ValueError(
                "gameboy plays a cartridge of your own: name its file, as in gameboy@rom=game.gb "
                "(blocks and parcels come with Troupe)"
            )
        if self.title not in ("auto", "any"):
            raise ValueError(f"title must be auto or any, got {self.title!r}")
        for name, low, high in (
            ("score_bytes", 1, 4),
            ("boot", 1, 100_000),
            ("turns", 1, 100_000),
            ("most_facts", 1, 1000),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be {low} to {high}, got {getattr(self, name)}")
        for name in ("score_at", "over_at"):
            address(getattr(self, name), name)


def address(value: str | int | None, name: str) -> int | None:
    """An address in RAM, as people write it.

    Raises:
        ValueError: if it is none.
    """
    if value is None:
        return None
    try:
        number = int(value, 0) if isinstance(value, str) else int(value)
    except ValueError:
        number = -1
    if not 0x8000 <= number <= 0xFFFF:
        raise ValueError(f"{name} must be an address such as 0xC0A0, got {value!r}")
    return number


class Unknown(Title):
    """A cartridge that nobody has described: tiles, sprites, and two places in its RAM.

    Args:
        config: which places.
    """

    name = "a cartridge"
    headers = ()

    def __init__(self, config: CartridgeConfig) -> None:
        self._boot, self._bytes = config.boot, config.score_bytes
        self._score = address(config.score_at, "score_at")
        self._over = address(config.over_at, "over_at")
        self._tiles = Tiles(config.most_facts)

    def start(self, console: Console) -> None:
        """See ``Title``."""
        console.tick(self._boot)

    def restart(self, console: Console, seed: int) -> None:
        """See ``Title``."""
        console.tick(seed % 61)  # whatever the game draws its chance from, it is another by then

    def facts(self, console: Console) -> Iterable[str]:
        """See ``Title``."""
        return self._tiles.facts(console)

    def outcome(self, console: Console) -> tuple[float, ...]:
        """See ``Title``."""
        if self._score is None:
            return (0.0,)
        return (float(int.from_bytes(console.read(self._score, self._bytes), "little")),)

    def over(self, console: Console) -> bool:
        """See ``Title``."""
        return self._over is not None and console.read(self._over, 1)[0] != 0


class CartridgeBatched(ConsoleBatch):
    """N consoles with the same cartridge; see ``games.core.BatchedGame``.

    The phrasebook is open: sentences are added as the game first says them. A game begins from a
    saved state of the emulator: our cartridges are reset through their RAM, others cannot be.

    Args:
        config: the game.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.

    Raises:
        ValueError: if the cartridge cannot be read, or is of an unknown version.
    """

    roles = ("player",)
    max_score = None

    def __init__(
        self, config: CartridgeConfig, num_games: int = 1, seed: int = 0, restart: bool = True
    ) -> None:
        self.config = config
        path = Path(config.rom)
        data, known = recognise(path, config.any_version)
        self.title = known if known and config.title == "auto" else Unknown(config)
        self.scoring = self.title.outcomes
        timing = config.timing
        depth = timing.depth if timing.pending else 0
        self.phrasebook = Phrasebook(
            [
                *BUTTONS,
                *(
                    f"{button} in {turn} turns"
                    for turn in range(1, depth + 1)
                    for button in BUTTONS[1:]
                ),
            ],
            closed=False,
        )
        self._fixed = len(self.phrasebook)
        self.max_facts, self.max_choices = config.most_facts + depth, len(BUTTONS)
        self.max_turns = config.turns
        self.choice_phrases = np.arange(len(BUTTONS), dtype=np.int16)
        self.presses: Presses = Presses(
            [0, *(1 << key for key in range(8))], timing, (num_games, 1)
        )
        self._seen: set[int] = set(range(len(BUTTONS), self._fixed))
        self._facts: list[list[str]] = [[] for _ in range(num_games)]
        self._numbers = np.zeros((num_games, len(self.scoring)), np.float32)
        self._ended = np.zeros(num_games, bool)
        self._begun: list[bytes] = [b""] * num_games
        file = symbols(path)

        def machines() -> list[Console]:
            return [Console(data, symbols=file)]

        super().__init__(machines, _NOTHING_READ, num_games, 1, seed, restart, config.threads)

    @property
    def fact_phrases(self) -> NDArray[np.int16]:  # type: ignore[override]
        """Sorted ids of what has been said as a fact so far, int16 [n]."""
        return np.array(sorted(self._seen), np.int16)

    def _boot(self, game: int) -> None:
        (console,) = self._consoles[game]
        self.title.start(console)
        state = io.BytesIO()
        console.pyboy.save_state(state)
        self._begun[game] = state.getvalue()

    def _start(self, game: int, seed: int) -> None:
        (console,) = self._consoles[game]
        console.cancel()
        if isinstance(self.title, Unknown):
            console.tick()  # lets keys go before the machine is another
            console.pyboy.load_state(io.BytesIO(self._begun[game]))
        self.title.restart(console, seed)
        self.presses.clear(game)

    def _advance(self, game: int, action: NDArray[np.int16]) -> None:
        self.presses.make(game, self._consoles[game], action)
        self._tick(game, self.config.timing.interval)

    def _fetch(self, game: int) -> None:
        (console,) = self._consoles[game]
        self._numbers[game] = self.title.outcome(console)
        self._ended[game] = self.title.over(console)
        self._facts[game] = list(dict.fromkeys(self.title.facts(console)))

    def _snapshot(self) -> NDArray[Any]:
        return self._numbers.copy()

    def _actions(self, move: NDArray[np.integer]) -> NDArray[np.int16]:
        actions = np.zeros((self.num_games, 1), np.int16)
        actions[self.due_game, 0] = move
        return actions

    def _judge(
        self, before: NDArray[Any]
    ) -> tuple[
        NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[np.float32]]
    ]:
        over = self._ended.copy()
        cut = ~over & (self._count >= self.config.turns)
        outcome = {name: self._numbers[:, k].copy() for k, name in enumerate(self.scoring)}
        return self._numbers[:, 0] - before[:, 0], over, cut, outcome

    def _look(
        self, games: NDArray[np.int32], seats: NDArray[np.int8]
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        rows = np.full((len(games), self.max_facts), PAD, np.int16)
        counts = np.zeros(len(games), np.int16)
        timing = self.config.timing
        for row, game in enumerate(games.tolist()):
            ids = []
            for sentence in self._facts[game][: self.config.most_facts]:
                # A full book goes on with what it has: rare sentences are left out.
                if len(self.phrasebook) < MAX_PHRASES or sentence in self.phrasebook:
                    ids.append(self.phrasebook.intern(sentence))
            if timing.pending and timing.depth:
                for turn, choice in enumerate(self.presses.waiting[game, 0].tolist()):
                    if choice:
                        ids.append(len(BUTTONS) + turn * (len(BUTTONS) - 1) + choice - 1)
            self._seen.update(ids)
            rows[row, : len(ids)] = ids
            counts[row] = len(ids)
        return rows, counts

    def _offer(
        self, games: NDArray[np.int32], seats: NDArray[np.int8]
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        count = len(games)
        return np.tile(self.choice_phrases, (count, 1)), np.full(count, len(BUTTONS), np.int16)
