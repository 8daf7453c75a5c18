"""What can be reached in ``parcels``: alone, by telling all, by conventions. Exact, by recursion.

The two directions do not touch: what seat A tells is about B's parcels, costs A's sparks, and B's
right parcels earn A's sparks. So the value of a game is twice that of one direction. A stamp is
one of four with equal chances, and nothing but messages depends on it: whoever gets no message is
right in one of four, whatever it does, so playing at random is worth as much as playing alone.

``python -m games.gameboy.sorting`` prints the table of docs/gameboy.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product

from games.gameboy.parcels import LANES, MOST_SPARKS, ROWS

SEATS = 2
STAMPS = range(LANES)
COSTS = (0, 1, 1, 2)
"""Sparks that it takes to tell nothing, the colour, the shape, or both."""

Map = tuple[int, int, int, int]
"""What is told of each stamp: a place in ``COSTS``."""

NOTHING: Map = (0, 0, 0, 0)
COLOUR: Map = (1, 1, 1, 1)
EVERYTHING: Map = (3, 3, 3, 3)
MAPS: tuple[Map, ...] = tuple(product(range(4), repeat=4))  # type: ignore[arg-type]


def message(stamp: int, told: int) -> tuple[int, int]:
    """What the partner reads: what was told of its parcel, and what that said.

    The bits of ``told`` and of a stamp are alike: bit 0 is the colour, bit 1 the shape.
    """
    return told, stamp & told


def _worth(told: Map, parcels: int, sparks: int, maps: Sequence[Map]) -> float | None:
    """Parcels to come right in one direction, if the next is told by one map, and then the best."""
    if max(COSTS[what] for what in told) > sparks:
        return None
    classes: dict[tuple[int, int], list[int]] = {}
    for stamp in STAMPS:
        classes.setdefault(message(stamp, told[stamp]), []).append(stamp)
    total = 0.0
    for alike in classes.values():
        # The partner goes to the bin of one of them; one is as good as the other, because what
        # was told of each cost the same.
        for place, stamp in enumerate(alike):
            right = place == 0
            left = min(sparks - COSTS[told[stamp]] + right, MOST_SPARKS)
            total += (right + best(parcels - 1, left, tuple(maps))) / len(STAMPS)
    return total


@cache
def best(parcels: int, sparks: int, maps: tuple[Map, ...] = MAPS) -> float:
    """Parcels that come right in one direction, if each is told by the best of some maps.

    Args:
        parcels: how many are to come.
        sparks: the teller's.
        maps: ways of telling that are agreed upon; those that cost too much are left out.
    """
    if parcels == 0:
        return 0.0
    worths = (_worth(told, parcels, sparks, maps) for told in maps)
    return max(worth for worth in worths if worth is not None)


@cache
def _greedy(parcels: int, sparks: int) -> float:
    """Everything is told as long as there are sparks, then the colour, then nothing."""
    if parcels == 0:
        return 0.0
    told, right = ((EVERYTHING, 1.0), (COLOUR, 0.5), (NOTHING, 0.25))[max(0, 2 - sparks)]
    spent = sparks - COSTS[told[0]]
    return right * (1 + _greedy(parcels - 1, min(spent + 1, MOST_SPARKS))) + (1 - right) * _greedy(
        parcels - 1, spent
    )


def alone(parcels: int = 12) -> float:
    """The score of who tells nothing, of 2 * ``parcels``; that of random play as well."""
    return SEATS * best(parcels, 0, (NOTHING,)) if parcels else 0.0


def tell_everything(parcels: int = 12, sparks: int = 4) -> float:
    """The score of who tells all, and believes what it is told without asking why."""
    return SEATS * _greedy(parcels, sparks)


def convention(parcels: int = 12, sparks: int = 4) -> float:
    """The best score by telling: what is told may depend on the stamp, and so says more."""
    return SEATS * best(parcels, sparks)


def silent(parcels: int = 12, rows: int = ROWS, late: int = 0) -> float:
    """The best score without a spark: the crane's way in the first rows says what it sees.

    Four ways of ``k`` moves stand for the four stamps, chosen for each lane to start from so that
    the crane ends where it reaches most bins in the rows that are left.

    Args:
        parcels: of each seat.
        rows: that a parcel falls, a move in each.
        late: rows from what is seen to when a move is made.
    """
    top = alone(parcels)
    for k in range(1, min(rows, LANES - 1) + 1):
        left = rows - k - 2 * late  # a message takes `late` rows to be made, and so does the answer
        if left < 0:
            continue
        right = [_right(start, k, left) for start in range(LANES)]
        # The first parcel starts at lane 1, and the next where one was brought, right or not.
        score = right[1] + (parcels - 1) * sum(right) / LANES
        top = max(top, SEATS * score)
    return top


def _right(start: int, moves: int, left: int) -> float:
    """Chance to be right, if different ways of some moves are the code."""
    ways: dict[tuple[int, ...], int] = {}
    for steps in product((-1, 0, 1), repeat=moves):
        lane, way = start, []
        for step in steps:
            lane = min(max(lane + step, 0), LANES - 1)
            way.append(lane)
        ways[tuple(way)] = lane
    reach = sorted(
        (sum(abs(end - stamp) <= left for stamp in STAMPS) / LANES for end in ways.values()),
        reverse=True,
    )
    # Stamps that must share a way have one that is guessed; each way is worth its own stamp.
    return sum(reach[: len(STAMPS)]) / len(STAMPS)


def perfect_codes() -> list[Map]:
    """Ways of telling one thing that say all: which of the two is told speaks as well."""
    return [
        told
        for told in MAPS
        if {*told} <= {1, 2}
        and len({message(stamp, told[stamp]) for stamp in STAMPS}) == len(STAMPS)
    ]


def main() -> None:
    """Prints what can be reached."""
    rows = [
        ("alone, or at random", alone()),
        ("tell everything", tell_everything()),
        ("best convention without sparks", silent()),
        ("best convention by telling", convention()),
        ("optimum (all parcels right)", 24.0),
    ]
    print("| Who | Right of 24 |\n|---|---|")
    print("\n".join(f"| {who} | {score:.2f} |" for who, score in rows))


if __name__ == "__main__":
    main()
