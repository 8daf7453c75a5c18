"""A person at a console, in a terminal and in real time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any

from games.gameboy.batch import ConsoleBatch
from games.gameboy.keyboard import HELP, Keys, Terminal
from games.gameboy.pace import Pacer
from games.gameboy.record import KeyRecord
from games.gameboy.screen import beside, half_blocks

Seat = Callable[[], int]
"""Who holds the second seat: says which of that seat's choices in the game it makes now."""
Partner = Callable[[ConsoleBatch], Seat]
"""Sits down at a game."""
SHOWN = 2
"""Frames from one picture to the next: a terminal draws no faster."""


def play(
    name: str,
    seed: int,
    options: Mapping[str, Any],
    partner: Partner | None = None,
    players: tuple[str, ...] = ("you", "partner"),
) -> tuple[KeyRecord, dict[str, float]]:
    """Lets a person play ``blocks`` or ``parcels``; the person's is the first seat.

    Args:
        name: the game.
        seed: of the episode.
        options: of the setting.
        partner: who holds the second seat of ``parcels``; nobody presses anything there without.
        players: what the seats are called in the record.

    Returns:
        the record, whether or not the game came to its end, and the outcomes.

    Raises:
        ValueError: if there is no terminal, or no such game.
    """
    blank: list[list[int]] = [[]] if name == "blocks" else [[], []]
    record = KeyRecord(name, seed, dict(options), blank, players[: len(blank)])
    terminal, keys, pacer = Terminal(), Keys(), Pacer("skip")
    game = record.batched()
    with terminal:

        def show() -> None:
            screen = beside(game.screens(draw=False))
            columns = shutil.get_terminal_size().columns
            terminal.show(half_blocks(screen, columns) + "\n" + HELP)

        try:
            seat = None if partner is None else partner(game)
            masks = sit_down(game, keys, terminal.read, seat, pacer, show)
        except KeyboardInterrupt:
            masks = [row[:] for row in game.held]
    outcome = game.outcome()
    game.close()
    return KeyRecord(name, seed, dict(options), masks, record.players), outcome


def sit_down(
    game: ConsoleBatch,
    keys: Keys,
    read: Callable[[], bytes],
    partner: Seat | None,
    pacer: Pacer | None,
    show: Callable[[], None],
) -> list[list[int]]:
    """The loop of ``play``: a frame at a time, until the game is over or the person leaves.

    Args:
        game: a batch of one game.
        keys: of the person, who holds the first seat.
        read: what the terminal has sent since the last call.
        partner: who holds the second seat.
        pacer: who waits before each frame; None for nobody.
        show: shows the consoles' screens.

    Returns:
        the mask of each console in each frame.
    """
    interval = game.presses.timing.interval if game.presses is not None else 1
    theirs = release = frame = 0
    while not game.is_over and not keys.leave:
        keys.feed(read(), frame)
        if partner is not None and frame % interval == 0:
            assert game.presses is not None
            phrase = int(game.choices[1, partner()])  # both seats are due, the person's first
            theirs = game.presses.key_of(phrase - int(game.choice_phrases[0]))
            release = frame + 1
        held = [keys.held(frame), theirs if frame < release else 0]
        game.hold(held[: game.num_players])
        if pacer is not None:
            pacer.wait()
        game.frame(frame % SHOWN == 0)
        if frame % SHOWN == 0:
            show()
        frame += 1
    return [row[:] for row in game.held]


def by_sentences(choose: Callable[[list[str], list[str]], str]) -> Partner:
    """A partner that reads sentences.

    Args:
        choose: from the facts and the choices of a seat, one of the choices.
    """

    def sit(game: ConsoleBatch) -> Seat:
        def seat() -> int:
            facts, choices = (game.phrasebook.render(ids[1]) for ids in (game.facts, game.choices))
            return choices.index(choose(facts, choices))

        return seat

    return sit
