"""A game of Hanabi as a person sees it in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import NDArray
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from games.hanabi.decode import Event, Kind, Move, View
from games.hanabi.rules import COLOURS

RANKS = ("one", "two", "three", "four", "five")
_STYLES = {"red": "red", "yellow": "yellow", "green": "green", "white": "bold", "blue": "blue"}
_OUTCOMES = ("which fitted", "which misfired", "which was discarded")


def card(identity: tuple[int, int]) -> Text:
    """A card in words, in its colour."""
    colour, rank = identity
    return Text(f"{COLOURS[colour]} {RANKS[rank]}", style=_STYLES[COLOURS[colour]])


def coloured(words: str) -> Text:
    """What is said of a card, in its colour where it begins with one."""
    return Text(words, style=_STYLES.get(words.split()[0], ""))


def known(colours: NDArray, ranks: NDArray) -> str:
    """What hints tell of a card: "red", "not one", "red three", or "?" for nothing.

    Args:
        colours: bool [C], those that are possible.
        ranks: bool [R], likewise.
    """
    parts, excluded = [], []
    for words, possible in ((COLOURS, colours), (RANKS, ranks)):
        if possible.sum() == 1 and len(possible) > 1:
            parts.append(words[int(possible.argmax())])
        else:
            excluded += [words[i] for i in range(len(possible)) if not possible[i]]
    if excluded:
        parts.append(f"not {', '.join(excluded)}")
    return "; ".join(parts) or "?"


def said(move: Move, mover: int, names: Sequence[str]) -> str:
    """A move in words.

    Args:
        move: what was done, ``target`` relative to the mover.
        mover: place in ``names``.
        names: of all seats, in their order.
    """
    if move.kind is Kind.PLAY:
        return f"{names[mover]} played card {int(move.slot or 0) + 1}"
    if move.kind is Kind.DISCARD:
        return f"{names[mover]} discarded card {int(move.slot or 0) + 1}"
    told = names[(mover + int(move.target or 0)) % len(names)]
    value = int(move.value or 0)
    what = COLOURS[value] if move.kind is Kind.TELL_COLOUR else RANKS[value]
    return f"{names[mover]} told {told} which cards are {what}"


def brought(event: Event) -> Text:
    """What a move brought: the card and what became of it, or what a hint touched."""
    if event.card is not None and event.outcome is not None:
        return Text.assemble(": ", card(event.card), f", {_OUTCOMES[event.outcome]}")
    cards = ", ".join(str(slot + 1) for slot in event.touched)
    return Text(f": touched card{'s' if len(event.touched) > 1 else ''} {cards}")


def status(view: View) -> Text:
    """Fireworks and what is left, in two lines."""
    line = Text("fireworks  ")
    for colour, height in enumerate(view.fireworks):
        word = COLOURS[colour]
        line.append(f"{word} {RANKS[height - 1] if height else 'none'}", style=_STYLES[word])
        line.append("   ")
    hints, lives = f"{view.tokens} of {view.max_tokens} hints", f"{view.lives} of {view.max_lives}"
    line.append(f"\nleft       {hints}, {lives} lives, {view.deck} cards in the deck")
    if view.turns_left is not None:
        line.append(f"; {view.turns_left} turns", style="bold")
    return line


Own = int | Sequence[tuple[int, int]]
"""A reader's own hand: how many cards it has, or which, where they may be seen."""


def hands(view: View, names: Sequence[str], own: Own, first: int = 0) -> Table:
    """Every hand, and below each card what its owner knows of it; arguments as of ``table``."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=True, header_style="dim")
    table.add_column("")
    for slot in range(view.hand_size):
        table.add_column(f"card {slot + 1}", max_width=18)
    for k in range(len(names)):
        seat = (first + k) % len(names)
        cards = own if seat == 0 else view.hands[seat]
        if isinstance(cards, int):
            faces = [Text("?", "bold")] * cards
        else:
            faces = [card(identity) for identity in cards]
        knows = [
            Text(known(view.possible_colours[seat, slot], view.possible_ranks[seat, slot]), "dim")
            for slot in range(len(faces))
        ]
        table.add_row(Text(names[seat], "bold"), *faces)
        table.add_row(
            Text("  knows" if seat or not isinstance(own, int) else "  know", "dim"), *knows
        )
    return table


def discards(view: View) -> Text:
    """What lies in the discards, colour by colour."""
    line = Text("discards   ")
    for colour in range(view.colours):
        cards = [
            f"{RANKS[rank]}{f' x{n}' if n > 1 else ''}"
            for rank, n in enumerate(view.discards[colour].tolist())
            if n
        ]
        if cards:
            word = COLOURS[colour]
            line.append(f"{word} {', '.join(cards)}", style=_STYLES[word])
            line.append("   ")
    if not view.discards.any():
        line.append("none")
    return line


def latest(view: View, names: Sequence[str]) -> Text:
    """The latest move of every seat, the reader's own first."""
    lines = []
    for seat, event in enumerate(view.events):
        if event is not None:
            # A move's target is told relative to the reader; said() counts from the mover.
            move = event.move
            if move.target is not None:
                offset = (move.target - seat) % len(names)
                move = Move(move.kind, target=offset, value=move.value)
            lines.append(Text.assemble(said(move, seat, names), brought(event)))
    return Text("\n").join(lines) if lines else Text("nobody has moved yet", style="dim")


def table(view: View, names: Sequence[str], title: str, own: Own, first: int = 0) -> Panel:
    """The whole table.

    Args:
        view: of the reader.
        names: of all seats, the reader first.
        title: over it.
        own: the reader's own hand.
        first: place in ``names`` of the hand that is shown first.
    """
    parts = (
        Group(status(view), discards(view)),
        Text(),
        hands(view, names, own, first),
        Text(),
        latest(view, names),
    )
    return Panel(Group(*parts), title=title, title_align="left", expand=False, padding=(0, 1))
