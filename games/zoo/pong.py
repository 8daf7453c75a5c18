"""Cooperative pong in words: where the ball is and flies, and where the two paddles are.

The screen that the environment shows is black unless it is rendered (PettingZoo 1.27), so the words
are about the game behind it: what two frames on end show. Both sides read as if they played on the
same side: rows are counted from the top, columns from the reader's own edge.
"""

from __future__ import annotations

import math
import warnings

from games.zoo.describe import Description
from games.zoo.worlds import World

COLUMNS, ROWS = 24, 14
"""Parts of the width and of the height, for places on the table."""

FINE = 28
"""Parts of the height, for how far the ball is above or below my paddle."""

SLOPES = ("steeply up", "up", "straight", "down", "steeply down")
_EDGES = (-0.9, -0.2, 0.2, 0.9)
"""Where one slope ends and the next begins, rise by run."""

# Each step asks for a picture that nobody wants, and each is remarked upon.
warnings.filterwarnings("ignore", ".*calling render method without specifying any render mode.*")


def describe_pong(world: World) -> Description:
    """Words for ``butterfly/cooperative_pong``; see the module."""
    book: dict[str, int] = {}

    def say(sentence: str) -> int:
        return book.setdefault(sentence, len(book))

    sides = [say("I play on the left"), say("I play on the right")]
    away = [say(f"the ball is in column {column + 1} from my edge") for column in range(COLUMNS)]
    height = [say(f"the ball is in row {row + 1}") for row in range(ROWS)]
    offsets = {
        step: say(
            "the ball is level with my paddle"
            if not step
            else f"the ball is {abs(step)} parts {'below' if step > 0 else 'above'} my paddle"
        )
        for step in range(-FINE, FINE + 1)
    }
    comes, goes = say("the ball comes towards me"), say("the ball flies away from me")
    slopes = [say(f"the ball flies {slope}") for slope in SLOPES]
    mine = [say(f"my paddle is in row {row + 1}") for row in range(ROWS)]
    yours = [say(f"the paddle of partner A is in row {row + 1}") for row in range(ROWS)]

    def describe(world: World, seat: int) -> list[int]:
        game = world.env.unwrapped.env
        x, y = game.ball._rect.center
        dx, dy = game.ball._speed
        if seat == 1:
            x, dx = game.s_width - x, -dx
        me, you = (game.p0, game.p1)[:: 1 if seat == 0 else -1]
        row, step = game.s_height / ROWS, game.s_height / FINE
        above = round((y - me.rects[0].centery) / step)
        slope = math.copysign(9.0, dy) if dx == 0 else dy / abs(dx)
        return [
            sides[seat],
            away[_part(x, game.s_width / COLUMNS, COLUMNS)],
            height[_part(y, row, ROWS)],
            offsets[max(-FINE, min(FINE, above))],
            comes if dx < 0 else goes,
            slopes[sum(slope >= edge for edge in _EDGES)],
            mine[_part(me.rects[0].centery, row, ROWS)],
            yours[_part(you.rects[0].centery, row, ROWS)],
        ]

    return Description(
        facts=tuple(book),
        max_facts=8,
        actions=(("I stay", "I go up", "I go down"),) * 2,
        roles=("paddle", "paddle"),
        describe=describe,
        keeps_nothing=True,
    )


def _part(place: float, size: float, parts: int) -> int:
    return max(0, min(parts - 1, int(place / size)))
