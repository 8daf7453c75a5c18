"""What ``troupe play`` and ``troupe replay`` do with games on consoles."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from games.gameboy.batch import ConsoleBatch
    from games.gameboy.play import Partner
    from games.settings import Setting

GAMES = ("blocks", "parcels")
PACE = 30  # frames a row, for a person
EVERY = 4  # frames from one picture of a film to the next


def play(name: str, partner: str | None, seed: int, file: Path) -> None:
    """Lets a person play, saves the game, and says how it went.

    Args:
        name: ``blocks`` or ``parcels``.
        partner: an agent for the other seat of ``parcels``; None for the one by rules.
        seed: of the game.
        file: for the record.

    Raises:
        ValueError: if there is no terminal or no such agent.
    """
    from games.gameboy.play import by_sentences
    from games.gameboy.play import play as sit_down

    options: dict[str, int | str] = {"choose": "buttons", "level": 0, "rising": True}
    sits: Partner | None = None
    if name == "parcels":
        options = {"pace": PACE}
        from agents.bots.parcels import sort

        sits = by_sentences(sort) if partner is None else _agent(partner)
    elif partner is not None:
        raise ValueError(f"blocks is played alone: leave --with {partner} out")
    record, outcome = sit_down(name, seed, options, sits, ("you", partner or "by rules"))
    record.save(file)
    print(", ".join(f"{value:g} {what}" for what, value in outcome.items()))
    print(f"saved: troupe replay {file} --gif game.gif")


def _agent(name: str) -> Partner:
    """An agent in the second seat. It is asked between two frames, and should answer in one."""
    from marl.acting.table import Table
    from marl.runs import roster

    policy = roster.load(name).policy

    def sit(game: ConsoleBatch) -> Callable[[], int]:
        reason = roster.refusal(policy, game)
        if reason is not None:
            raise ValueError(f"{name} cannot play parcels: {reason}")
        table = Table(game, [policy])
        return lambda: int(table.choose().choices[1])

    return sit


def watch(setting: Setting, agent: str, seed: int, file: Path) -> None:
    """Has an agent play in all seats, in real time where a terminal shows it, and saves the game.

    Args:
        setting: what is played, ``blocks`` or ``parcels`` with options.
        agent: who.
        seed: of the game.
        file: for the record.

    Raises:
        ValueError: if there is no such agent, or it cannot play this.
    """
    import shutil
    import sys

    from games.gameboy.batch import ConsoleBatch
    from games.gameboy.keyboard import Terminal
    from games.gameboy.pace import Pacer
    from games.gameboy.record import KeyRecord
    from games.gameboy.screen import beside, half_blocks
    from marl.acting.table import Table
    from marl.runs import roster

    if not setting.options.get("emulated", True):
        raise ValueError("a game without consoles cannot be watched: leave emulated=false out")
    member = roster.load(agent)
    member.check(setting)
    game = setting.batched(1, seed, restart=False)
    assert isinstance(game, ConsoleBatch)
    table = Table(game, [member.policy])

    def playing() -> None:
        while not game.is_over:
            table.step(table.choose().choices)

    def shown(terminal: Terminal, pacer: Pacer) -> None:
        pacer.wait()
        if pacer.frames % EVERY == 0:
            screen = beside(game.screens(draw=False))
            terminal.show(half_blocks(screen, shutil.get_terminal_size().columns))

    game.between_frames = lambda: None
    with contextlib.suppress(KeyboardInterrupt):
        if sys.stdin.isatty() and sys.stdout.isatty():
            with Terminal() as terminal:
                game.between_frames = partial(shown, terminal, Pacer("skip"))
                playing()
        else:
            playing()
    players = (agent,) * game.num_players
    KeyRecord(setting.game, seed, dict(setting.options), game.held, players).save(file)
    print(", ".join(f"{value:g} {what}" for what, value in game.outcome().items()))
    print(f"saved: troupe replay {file} --gif game.gif")
    game.close()


def film(file: Path, gif: Path | None) -> None:
    """Writes a recorded game as a GIF, or says how it went.

    Args:
        file: the record.
        gif: the GIF; None for none.

    Raises:
        ValueError: if the file holds no game.
    """
    from rich.progress import track

    from games.gameboy.record import load
    from games.gameboy.screen import save_gif

    record = load(file)
    pictures, outcome = [], {}
    length = len(record.keys[0])
    shown = track(record.frames(EVERY), "playing it again", -(-length // EVERY) + 1)
    for game, picture in shown:
        pictures.append(picture)
        outcome = game.outcome()
    names = " and ".join(record.players) or "nobody"
    print(f"{record.game}, {names}: " + ", ".join(f"{v:g} {k}" for k, v in outcome.items()))
    if gif is not None:
        print(f"{gif}: {save_gif(gif, pictures, EVERY)} pictures")
