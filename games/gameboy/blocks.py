"""``blocks``: falling stones on N consoles, as a batched game.

Three ways to choose. ``consequences``: one choice a piece, each a sentence that says what a
placement leads to, and a driver presses the keys (placements with the same sentence are one
choice). ``placements``: the same, but the sentences name the placement alone. ``buttons``: a key
every few frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from games.gameboy import wells
from games.gameboy.batch import ConsoleBatch
from games.gameboy.blocks_text import BUTTONS, consequences, sentences
from games.gameboy.cartridges import build
from games.gameboy.console import Console
from games.gameboy.pieces import CELLS, HEIGHT, SPEED, WIDTH
from games.gameboy.presses import Presses, Timing, pack
from games.gameboy.ram import BLOCKS, OVER
from games.text import PAD


@dataclass(frozen=True)
class BlocksConfig:
    """The game.

    Attributes:
        choose: ``consequences``, ``placements`` or ``buttons``.
        level: 0 to 9; a piece falls a row in ``pieces.SPEED[level]`` frames.
        rising: whether the level rises with every ten rows.
        pieces: pieces after which a game is cut off.
        timing: when choices act.
        emulated: whether a console is; else its rules are computed
            (``games.gameboy.blocks_model``), which shows no picture and is much faster.
        threads: how many run consoles; 0 for as many as there are cores.
    """

    choose: Literal["consequences", "placements", "buttons"] = "consequences"
    level: int = 5
    rising: bool = False
    pieces: int = 1000
    timing: Timing = field(default_factory=Timing)
    emulated: bool = True
    threads: int = 0

    def __post_init__(self) -> None:
        if self.choose not in ("consequences", "placements", "buttons"):
            raise ValueError(
                f"choose must be consequences, placements or buttons, got {self.choose!r}"
            )
        if not 0 <= self.level <= 9:
            raise ValueError(f"level must be 0 to 9, got {self.level}")
        if not 1 <= self.pieces <= 60_000:
            raise ValueError(f"pieces must be 1 to 60000, got {self.pieces}")


class BlocksBatched(ConsoleBatch):
    """N games of falling stones; see ``games.core.BatchedGame``.

    A seat earns the rows that it fills. A game is over when a new piece has no room, and cut off
    after ``pieces``.

    Args:
        config: the game.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.
    """

    roles = ("player",)
    scoring = ("lines", "pieces", "score")

    def __init__(
        self, config: BlocksConfig, num_games: int = 1, seed: int = 0, restart: bool = True
    ) -> None:
        self.config = config
        self._at, self.phrasebook = sentences()
        self.max_score = float(config.pieces * 4 // WIDTH)
        speed, depth = SPEED[config.level], 0
        at = self._at
        if config.choose == "buttons":
            depth = config.timing.depth if config.timing.pending else 0
            self.presses = Presses([*BUTTONS.values()], config.timing, (num_games, 1))
            longest = config.pieces * (HEIGHT + 1) * speed
            self.max_turns = longest // config.timing.interval + 1
            self.max_choices, self.max_facts = len(BUTTONS), 3 + 2 * WIDTH + 4 + depth
            choices = [(at["button"], at["nothing"])]
            facts = [(at["kind"], at["button"])]
            if depth:
                facts.append((at["pending"], at["pending"] + depth * (len(BUTTONS) - 1)))
        else:
            self.max_turns = config.pieces
            self.max_choices, self.max_facts = wells.MAX_PLACEMENTS, 3 + 2 * WIDTH
            last = at["consequence"] if config.choose == "placements" else at["pending"]
            choices = [(at["nothing"], at["nothing"] + 1)]
            choices.append((last - self._span(config.choose), last))
            facts = [(at["kind"], at["left"])]
        self.choice_phrases = np.concatenate([np.arange(*c, dtype=np.int16) for c in choices])
        self.fact_phrases = np.concatenate([np.arange(*f, dtype=np.int16) for f in facts])
        shape = (num_games, wells.MAX_PLACEMENTS)
        self._placements = np.zeros((*shape, 2), np.int64)
        self.effects = np.zeros((*shape, 5), np.int64)
        self._found = np.zeros(num_games, np.int16)
        self._cartridge = build.path("blocks").read_bytes()
        super().__init__(self._machines, BLOCKS, num_games, 1, seed, restart, config.threads)

    def _machines(self) -> Sequence[Console]:
        return [Console(self._cartridge)]

    def _span(self, choose: str) -> int:
        name, after = (
            ("place", "consequence") if choose == "placements" else ("consequence", "pending")
        )
        return self._at[after] - self._at[name]

    def _start(self, game: int, seed: int) -> None:
        (console,) = self._consoles[game]
        address = BLOCKS.address
        console.cancel()
        console.write(address["seed"], seed.to_bytes(4, "little"))
        console.write(address["start"], [self.config.level, not self.config.rising])
        console.write(address["reset"], [1])
        console.tick()
        if self.presses is not None:
            self.presses.clear(game)

    def _actions(self, move: NDArray[np.integer]) -> NDArray[np.int16]:
        actions = np.zeros((self.num_games, 1), np.int16)
        games = self.due_game
        if self.config.choose == "buttons":
            actions[games, 0] = move
        else:
            turn, column = self._placements[games, self.kept[np.arange(len(games)), move]].T
            late = turn == wells.NOTHING
            actions[games, 0] = np.where(late, wells.NOTHING, turn * 16 + column + 1)
        return actions

    def _advance(self, game: int, action: NDArray[np.int16]) -> None:
        (console,) = self._consoles[game]
        timing = self.config.timing
        if self.config.choose == "buttons":
            assert self.presses is not None
            self.presses.make(game, [console], action)
            self._tick(game, timing.interval)
            return
        placement = int(action[0])
        if placement == wells.NOTHING:
            console.hold(0)
            landed, address = self.ram["pieces"][game, 0], BLOCKS.address["pieces"]
            while int.from_bytes(console.read(address, 2), "little") == landed:
                self._tick(game, 1)
            return
        state = self.ram[game, 0]
        held = console.keys
        begin = console.frame + timing.delay
        if timing.delay:
            console.hold(0)
            held = 0
        keys = wells.schedule(
            int(state["turn"]),
            int(state["column"].astype(np.int8)),
            placement >> 4,
            (placement & 15) - 1,
            held,
        )
        for at, mask in keys:
            console.hold(mask, begin + at)
        self._tick(game, timing.delay + keys[-1][0] + 1)

    def _judge(
        self, before: NDArray[Any]
    ) -> tuple[
        NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[np.float32]]
    ]:
        now = self.ram[:, 0]
        terminated = now["phase"] == OVER
        truncated = ~terminated & (now["pieces"] >= self.config.pieces)
        outcome = {name: now[name].astype(np.float32) for name in self.scoring}
        earned = now["lines"].astype(np.float32) - before[:, 0]["lines"]
        return earned, terminated, truncated, outcome

    def _look(
        self, games: NDArray[np.int32], seats: NDArray[np.int8]
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        now, at = self.ram[games, 0], self._at
        heights, buried = columns(now["rows"])
        x = np.arange(WIDTH)
        facts = [
            at["kind"] + now["kind"].astype(np.int16),
            at["next"] + now["next"].astype(np.int16),
            at["speed"] + now["level"].astype(np.int16),
            at["height"] + x * (HEIGHT + 1) + heights,
            np.where(buried > 0, at["buried"] + x * (HEIGHT - 1) + buried - 1, PAD),
        ]
        if self.config.choose == "buttons":
            kind, turn = now["kind"].astype(np.int64), now["turn"].astype(np.int64)
            box = now["column"].astype(np.int8).astype(np.int64)
            left = box + CELLS[kind, turn, :, 1].min(1)
            facts.append(at["left"] + np.clip(left, 0, WIDTH - 1))
            facts.append(at["turn"] + turn)
            facts.append(at["row"] + now["row"].astype(np.int16))
            facts.append(at["wait"] + np.maximum(now["wait"].astype(np.int16), 1) - 1)
            timing = self.config.timing
            if timing.pending and timing.depth and self.presses is not None:
                waiting = self.presses.waiting[games, 0]
                ahead = np.arange(timing.depth) * (len(BUTTONS) - 1)
                facts.append(np.where(waiting > 0, at["pending"] + ahead + waiting - 1, PAD))
        rows, counts = pack([fact.astype(np.int16) for fact in facts])
        return rows[:, : self.max_facts], counts

    def _offer(
        self, games: NDArray[np.int32], seats: NDArray[np.int8]
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        count = len(games)
        if self.config.choose == "buttons":
            return np.tile(self.choice_phrases, (count, 1)), np.full(
                count, self.max_choices, np.int16
            )
        now = self.ram[games, 0]
        pieces = np.stack(
            [
                now["kind"].astype(np.int64),
                now["turn"].astype(np.int64),
                now["column"].astype(np.int8).astype(np.int64),
                now["row"].astype(np.int64),
                now["wait"].astype(np.int64),
            ],
            axis=1,
        )
        speeds = np.array(SPEED, np.int64)[now["level"]]
        held = now["keys"].astype(np.int64)
        placements = np.zeros((count, wells.MAX_PLACEMENTS, 2), np.int64)
        effects = np.zeros((count, wells.MAX_PLACEMENTS, 5), np.int64)
        found = np.zeros(count, np.int16)
        wells.foresee_all(
            *(np.ascontiguousarray(now["rows"]), pieces, speeds, held, self.config.timing.delay),
            *(placements, effects, found),
        )
        self._placements[games], self.effects[games], self._found[games] = (
            placements,
            effects,
            found,
        )
        if self.config.choose == "consequences":
            ids = self._at["consequence"] + consequences(effects)
        else:
            left = placements[..., 1] + CELLS[pieces[:, :1], placements[..., 0], :, 1].min(-1)
            ids = self._at["place"] + (pieces[:, :1] * 4 + placements[..., 0]) * WIDTH + left
        ids[placements[..., 0] == wells.NOTHING] = self._at["nothing"]
        ids[np.arange(wells.MAX_PLACEMENTS) >= found[:, None]] = PAD
        self.kept, rows, counts = distinct(ids)
        return rows, counts


def columns(rows: NDArray[np.uint16]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Heights and buried cells of each column, int16 [R, 10] each, of wells uint16 [R, 16]."""
    cells = (rows[:, :, None] >> np.arange(WIDTH, dtype=np.uint16)) & 1  # [R, 16, 10]
    covered = np.maximum.accumulate(cells, axis=1)
    heights = covered.sum(1)
    return heights.astype(np.int16), (heights - cells.sum(1)).astype(np.int16)


def distinct(
    ids: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int16]]:
    """The first of those that are said alike, in their order.

    Args:
        ids: int64 [R, k], PAD behind.

    Returns:
        which were kept, int64 [R, k] (0 beyond the count); their ids, int16 [R, k], padded; and the
        counts int16 [R].
    """
    order = np.argsort(ids, axis=1, kind="stable")
    sorted_ids = np.take_along_axis(ids, order, 1)
    first = np.ones_like(sorted_ids, bool)
    first[:, 1:] = sorted_ids[:, 1:] != sorted_ids[:, :-1]
    keep = np.zeros_like(first)
    np.put_along_axis(keep, order, first & (sorted_ids != PAD), 1)
    kept = np.argsort(~keep, axis=1, kind="stable")
    counts = keep.sum(1).astype(np.int16)
    beyond = np.arange(ids.shape[1]) >= counts[:, None]
    rows = np.take_along_axis(ids, kept, 1).astype(np.int16)
    rows[beyond] = PAD
    kept[beyond] = 0
    return kept, rows, counts
