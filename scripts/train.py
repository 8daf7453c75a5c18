"""``troupe train``: learn to play a game together, by self-play."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.train_options import read
from scripts.train_run import run


def main(args: Sequence[str]) -> None:
    """Trains as the options say.

    Raises:
        ValueError: if they contradict each other or what is in the run directory.
    """
    options = read(args)
    if options.seeds is None:
        run(options)
        return
    from scripts.seeds import train_seeds

    train_seeds(options, args)
