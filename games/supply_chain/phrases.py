"""What is said in a supply chain: the sentences of one setting.

Seats are relative to whoever reads: 0 is "I" or "me", then come "factory A", "factory B" and so on.
An onlooker is nobody, and for it seat 0 is "factory A".
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from games.blocks import Block, lay_out, sentences
from games.deeds import Deed
from games.supply_chain.rules import SupplyChainConfig
from games.text import Phrasebook
from games.words import LETTERS, number, plural, there_are

SUPPLIERS = ("small", "large")
NOTHING = 0
"""Index of "waited" among what a factory did; then come orders, supplier by supplier."""


class Phrases(NamedTuple):
    """The sentences of a setting.

    Attributes:
        book: all of them.
        blocks: where they stand.
        head: int16 [H], the setting itself, at the head of every observation.
        facts: int16 [n], what a factory can read.
        onlooker: int16 [m], what an onlooker can read.
        choices: int16 [1 + 2 * room], to wait, then orders at the small and at the large supplier.
        deeds: what a manager can ask for.
    """

    book: Phrasebook
    blocks: dict[str, Block]
    head: NDArray[np.int16]
    facts: NDArray[np.int16]
    onlooker: NDArray[np.int16]
    choices: NDArray[np.int16]
    deeds: tuple[Deed, ...]


def _subject(seat: int) -> str:
    return f"factory {LETTERS[seat - 1]}" if seat else "I"


def _object(seat: int) -> str:
    return f"factory {LETTERS[seat - 1]}" if seat else "me"


def _order(parts: int, supplier: int) -> str:
    return f"{plural(parts, 'part')} from the {SUPPLIERS[supplier]} supplier"


def phrases(config: SupplyChainConfig) -> Phrases:
    """Everything that can be said in a setting."""
    seats, room = config.players + 1, config.room

    def did(seat: int, what: int) -> str:
        if what == NOTHING:
            return f"{_subject(seat)} waited"
        supplier, parts = divmod(what - 1, room)
        return f"{_subject(seat)} ordered {_order(parts + 1, supplier)}"

    head = _head(config)
    blocks = lay_out(
        (
            ("HEAD", (len(head),), lambda i: head[i]),
            ("LEFT", (config.periods + 1,), lambda n: f"{there_are(n, 'period')} left"),
            (
                "BACKLOG",
                (config.max_backlog + 1,),
                lambda n: f"customers wait for {plural(n, 'product')}",
            ),
            (
                "STOCK",
                (seats, room + 1),
                lambda seat, n: (
                    f"{_subject(seat)} {'has' if seat else 'have'} {plural(n, 'part')} in stock"
                ),
            ),
            (
                "OWED",
                (seats, room + 1),
                lambda seat, n: f"the small supplier owes {_object(seat)} {plural(n, 'part')}",
            ),
            # What happened in the period that has just gone by.
            ("DID", (seats, 1 + 2 * room), did),
            (
                "DEMAND",
                (len(config.demand),),
                lambda n: f"customers asked for {plural(n, 'product')}",
            ),
            ("MADE", (room + 1,), lambda n: f"we made {plural(n, 'product')}"),
            ("WAIT", (), lambda: "I wait"),
            ("ORDER", (2, room), lambda supplier, n: f"I order {_order(n + 1, supplier)}"),
        )
    )
    shared = [
        id for name in ("HEAD", "LEFT", "BACKLOG", "DEMAND", "MADE") for id in blocks[name].ids
    ]

    def said(relative: range) -> list[int]:
        return [
            blocks[name].at(seat, k)
            for name in ("STOCK", "OWED", "DID")
            for seat, k in product(relative, range(blocks[name].shape[1]))
        ]

    return Phrases(
        Phrasebook(sentences(blocks)),
        blocks,
        np.array(blocks["HEAD"].ids, np.int16),
        np.array(shared + said(range(config.players)), np.int16),
        np.array(shared + said(range(1, config.players + 1)), np.int16),
        np.array([*blocks["WAIT"].ids, *blocks["ORDER"].ids], np.int16),
        _deeds(config, blocks),
    )


def _head(config: SupplyChainConfig) -> list[str]:
    """The setting in sentences."""
    return [
        f"there are {config.players} factories",
        f"a product earns each factory {number(1 + config.margin)}",
        f"the small supplier charges {number(config.small_price)} for a part",
        f"the large supplier charges {number(config.large_price)} for a part",
        f"the small supplier ships {plural(config.small_capacity, 'part')} a period",
        f"a factory has room for {plural(config.room, 'part')}",
        f"a part in stock costs {number(config.holding_cost)} a period",
        "a product that customers wait for costs each factory "
        f"{number(config.backlog_cost / config.players)} a period",
        f"an idle line costs {number(config.idle_cost)} while customers wait",
        f"customers wait for at most {plural(config.max_backlog, 'product')}",
        *(
            f"customers ask for {plural(n, 'product')} with probability {number(chance)}"
            for n, chance in enumerate(config.demand)
        ),
        f"a part that is left at the end is worth {number(config.refund)}",
    ]


def _deeds(config: SupplyChainConfig, blocks: dict[str, Block]) -> tuple[Deed, ...]:
    """To order from either supplier, at a price for each part.

    The large one comes first: this is where a constant subsidy goes. Nothing, a little, and more
    may be offered for it; the small one can be taxed.
    """
    return tuple(
        Deed(
            f"{SUPPLIERS[supplier]}-supplier",
            f"order from the {SUPPLIERS[supplier]} supplier",
            {blocks["ORDER"].say(supplier, n): n + 1.0 for n in range(config.room)},
            "part",
            offers,
        )
        for supplier, offers in ((1, (0.0, 0.2, 0.4)), (0, (0.0, -0.2)))
    )
