"""A game of Hanabi between a person and agents: with a table, and a record to look at again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table as Lines
from rich.text import Text

from games.core import BatchedGame, Step
from games.hanabi import configure
from games.hanabi.decode import decode
from games.hanabi.record import GameRecord, save
from marl.acting.belief import own_hand
from marl.acting.table import Turn
from scripts.sitting import Sitting
from scripts.tabletop import coloured, table


class HanabiSitting(Sitting):
    """One game of Hanabi; see ``Sitting``."""

    def begin(self) -> BatchedGame:
        """The game before its first move."""
        options: dict[str, Any] = dict(self.setting.options)
        config = configure(players=self.setting.players, **options)
        self.record = GameRecord.begin(config, self.seats.names, self.seed)
        n, mine = self.setting.players, self.seats.mine
        order = [self.seats.names[(mine + k) % n] for k in range(n)]
        letters = [f"partner {'ABCD'[k - 1]}" for k in range(1, n)]
        # For the person: itself first, then partners by letter and name.
        self.named = [order[0], *(f"{a} ({b})" for a, b in zip(letters, order[1:], strict=True))]
        return self.record.table()

    def greeting(self) -> str:
        """What is played, and with whom."""
        return f"Hanabi with {', '.join(self.named[1:])}"

    def show(self, row: int) -> None:
        """The table as the person sees it."""
        view = decode(self.batch.facts[row])
        points = f"{sum(view.fireworks)} of {self.record.config.max_score} points"
        title = f"turn {len(self.moves) + 1}, {points}"
        held = int((self.batch.labels[row] >= 0).sum())
        self.console.print(table(view, self.named, title, held))

    def beliefs(self, turn: Turn, row: int) -> None:
        """What the adviser believes you hold, card by card, where it has an opinion."""
        rows = np.arange(row, row + 1)
        policy = self.seats.policies[self.seats.mine]
        beliefs = own_hand(policy, turn.observations[rows], turn.before[rows])
        if beliefs is None:
            return
        lines = Lines("it believes you hold", box=None, padding=(0, 2, 0, 0))
        held = self.batch.labels[row] >= 0
        for card in (np.flatnonzero(held) + 1).tolist():
            about = f" card {card} "
            asked = [k for k, said in enumerate(beliefs.sentences) if about in said[0]]
            if not asked:  # It knows smaller hands, or other games only.
                continue
            chances = beliefs.chances[asked[0]][0]
            likely = np.argsort(-chances, kind="stable")[:4].tolist()
            said = [beliefs.sentences[asked[0]][k].split(about)[1] for k in likely]
            cells = [
                Text.assemble(coloured(what.removeprefix("is ")), f" {chances[k]:.0%}")
                for k, what in zip(likely, said, strict=True)
            ]
            lines.add_row(f"card {card}", *cells)
        self.console.print(lines)

    def end(self, step: Step) -> None:
        """Shows the last position, and how it went."""
        *_, last = self._played().positions()
        view = decode(self.batch.observe(self.seats.mine)[0][0])
        self.console.print(table(view, self.named, "the end", last.hands[self.seats.mine]))
        how = "the last life is spent: " if last.lost else ""
        points = f"{how}{last.score} of {self.record.config.max_score} points"
        if last.lost:
            points += ", which count 0 under one rule and stay under the other"
        self.console.print(f"[bold]{points}[/]", highlight=False)

    def save(self, file: Path) -> None:
        """Writes the game so far, for ``troupe replay``."""
        save(self._played(), file)
        self.console.print(f"saved: troupe replay {file}", markup=False, highlight=False)

    def _played(self) -> GameRecord:
        return replace(self.record, moves=tuple(sentence for _, sentence in self.moves))
