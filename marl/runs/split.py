"""Who is there to train with, to validate on and to test on, chosen before anybody was trained.

Partners are of two kinds, which are never averaged together. *Rule lists* make the same few moves
for reasons that can be seen; *conventions* mean more by a hint than it says, and somebody else's
can only be guessed at.

Where an agent has met a partner in training, figures with that partner say so
(``TrainConfig.met``): the split is a promise of those who train, not a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LISTS = 32
"""Random lists of each part."""


@dataclass(frozen=True)
class Part:
    """The partners of one part of the split.

    Attributes:
        rule_lists: named lists of rules.
        lists_seed: seed of the first random list; the others count up from it.
        conventions: rule-based players with conventions, and agents that learned theirs.
    """

    rule_lists: tuple[str, ...]
    lists_seed: int
    conventions: tuple[str, ...]

    @property
    def lists(self) -> tuple[str, ...]:
        """The random lists, ``LISTS`` of them."""
        return random_lists(self.lists_seed, LISTS)

    def __iter__(self) -> Iterator[str]:
        """Every partner."""
        yield from (*self.rule_lists, *self.lists, *self.conventions)


def random_lists(seed: int, number: int) -> tuple[str, ...]:
    """Names of random lists in the roster, their seeds counting up from ``seed``."""
    return tuple(f"bot:list-{seed + i}" for i in range(number))


TRAIN = Part(
    rule_lists=("bot:iggi", "bot:outer", "bot:flawed"),
    lists_seed=0,
    conventions=("bot:smart", "hanabi-2p-taught"),
)
"""What a generalist may train with. The agent that Smart taught speaks much as Smart does."""

VALIDATE = Part(rule_lists=(), lists_seed=10_000, conventions=("hanabi",))
"""What recipes and weights are chosen by. (The agent of this name has been replaced by a better one
since; nothing had been chosen by it.)"""

TEST = Part(
    rule_lists=("bot:piers", "bot:internal", "bot:van-den-bergh"),
    lists_seed=20_000,
    conventions=(
        "bot:holmes",
        "bot:information",
        "bot:referential-sieve",
        "bot:value",
        "hanabi-2p",
    ),
)
"""What is reported. The sieve and the value player share no code or rules with anybody else."""

PARTS = {"train": TRAIN, "validate": VALIDATE, "test": TEST}
