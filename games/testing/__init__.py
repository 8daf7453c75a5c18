"""The tests that every game is handed to; see ``check_all`` for what they ask.

A game is handed over as a call that makes a batch of it::

    from games import testing

    def make(num_games, seed, restart):
        return parse("hanabi:3")[0].batched(num_games, seed, restart)

    def test_hanabi_is_a_game():
        testing.check_all(make, decode=decode, truth=truth, scramble=scramble)
"""

from games.testing.conformance import (
    check_all,
    check_environments,
    check_play,
    check_refusals,
    check_restart,
    check_rows,
    check_seeds,
    check_state,
)
from games.testing.golden import check_golden, write_golden
from games.testing.knowledge import check_decoding, check_hidden
from games.testing.transcript import Maker, Turn, play, transcribe

__all__ = [
    "Maker",
    "Turn",
    "check_all",
    "check_decoding",
    "check_environments",
    "check_golden",
    "check_hidden",
    "check_play",
    "check_refusals",
    "check_restart",
    "check_rows",
    "check_seeds",
    "check_state",
    "play",
    "transcribe",
    "write_golden",
]
