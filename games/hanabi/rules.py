"""The rules of Hanabi as numbers: players, deck, tokens, and how a lost game is scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

COLOURS = ("red", "yellow", "green", "white", "blue")
"""Colour words, in the reference engine's order (its letters are R, Y, G, W, B)."""

MAX_PLAYERS = 5
MAX_COLOURS = len(COLOURS)
MAX_RANKS = 5
MAX_CARDS = 50
MAX_HAND = 25  # two players who hold the whole deck
MAX_TOKENS = 50
BOMB_RULES = ("zero", "keep")
ANSWERS = ("cards", "uses")


@dataclass(frozen=True)
class HanabiConfig:
    """One setting of Hanabi.

    Attributes:
        players: seats, 2 to 5.
        colours: fireworks, 1 to 5: the first so many of ``COLOURS``.
        ranks: height of a finished firework, 1 to 5.
        hand_size: cards in a hand, or None for the standard: 5 with 2 or 3 players, 4 with more.
        information_tokens: hint tokens at the start, and the most there can be.
        life_tokens: strikes until the game is lost.
        bomb: what a lost game is worth: "zero" (as Bard et al. score) or "keep" (points stay).
        random_first_player: whether the first seat to act is drawn, or always seat 0.
        glance: whether facts also say what follows from them at a glance: which cards fit, are
            useless, or are the last of their kind.
        answers: what the answer sheet for training says of the own cards: "uses", whether they fit,
            are useless, or do not fit yet, or "cards", which they are. No player ever sees it.
        turn_limit: turns of all seats together after which a game is truncated, None for no limit.

    Raises:
        ValueError: if a value is out of its range, or the deck cannot fill the hands.
    """

    players: int = 2
    colours: int = 5
    ranks: int = 5
    hand_size: int | None = None
    information_tokens: int = 8
    life_tokens: int = 3
    bomb: str = "zero"
    random_first_player: bool = False
    glance: bool = True
    answers: str = "uses"
    turn_limit: int | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("players", 2, MAX_PLAYERS),
            ("colours", 1, MAX_COLOURS),
            ("ranks", 1, MAX_RANKS),
            ("hand_size", 1, MAX_HAND),
            ("information_tokens", 0, MAX_TOKENS),
            ("life_tokens", 1, MAX_TOKENS),
            ("turn_limit", 1, 10_000),
        ):
            value = getattr(self, name)
            if value is None and name in ("hand_size", "turn_limit"):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError(
                    f"{name} must be a whole number from {low} to {high}, got {value!r}"
                )
        for name in ("random_first_player", "glance"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if self.bomb not in BOMB_RULES:
            raise ValueError(f'bomb must be "zero" or "keep", got {self.bomb!r}')
        if self.answers not in ANSWERS:
            raise ValueError(f'answers must be "cards" or "uses", got {self.answers!r}')
        if self.players * self.hand > self.deck_size:
            raise ValueError(
                f"{self.players} hands of {self.hand} need {self.players * self.hand} cards, but "
                f"the deck of {self.colours} colours and {self.ranks} ranks has {self.deck_size}: "
                f"set hand_size to at most {self.deck_size // self.players}"
            )

    @property
    def hand(self) -> int:
        """Cards in a full hand: ``hand_size``, or the standard for the number of players."""
        if self.hand_size is not None:
            return self.hand_size
        return 5 if self.players < 4 else 4

    @property
    def deck_size(self) -> int:
        """Cards in the whole deck."""
        return self.colours * sum(self.copies(rank) for rank in range(self.ranks))

    @property
    def max_score(self) -> int:
        """Points of a perfect game."""
        return self.colours * self.ranks

    @property
    def num_moves(self) -> int:
        """Moves in the reference's order: discards, plays, colour hints, rank hints."""
        return 2 * self.hand + (self.players - 1) * (self.colours + self.ranks)

    @property
    def max_turns(self) -> int:
        """Upper bound of one seat's own turns in one game.

        While the deck holds cards every discard and play draws one, so there are at most D of
        them, D being the cards left after dealing. A hint costs a token, and only those moves
        bring one back (a discard, or a play that ends a firework): at most I + D hints, I being
        the tokens at the start. After the last card is drawn every seat moves once more. That is
        2 D + I + P turns in all, and seats take turns.
        """
        drawn = self.deck_size - self.players * self.hand
        turns = 2 * drawn + self.information_tokens + self.players
        if self.turn_limit is not None:
            turns = min(turns, self.turn_limit)
        return -(-turns // self.players)

    def copies(self, rank: int) -> int:
        """How often a card of zero-based ``rank`` is in the deck, for each colour."""
        if rank == 0:
            return 3
        return 1 if rank == self.ranks - 1 else 2


PRESETS: dict[str, HanabiConfig] = {
    "full": HanabiConfig(),
    "plain": HanabiConfig(glance=False),
    "small": HanabiConfig(colours=2, hand_size=2, information_tokens=3, life_tokens=1),
    "very-small": HanabiConfig(colours=1, hand_size=2, information_tokens=3, life_tokens=1),
}
"""The reference's named settings, and plain: full rules, facts without a glance. Any field can be
overridden: see :func:`configure`."""


def configure(preset: str = "full", **overrides: Any) -> HanabiConfig:
    """A setting by its name, with some fields changed.

    Raises:
        ValueError: if the name or a field is unknown, or a value is out of its range.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown Hanabi preset {preset!r}; there are {', '.join(PRESETS)}")
    unknown = sorted(set(overrides) - set(HanabiConfig.__dataclass_fields__))
    if unknown:
        known = ", ".join(HanabiConfig.__dataclass_fields__)
        raise ValueError(f"unknown Hanabi option {unknown[0]!r}; there are preset, {known}")
    return replace(PRESETS[preset], **overrides)
