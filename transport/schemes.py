"""Ways to play in real time: a schedule for the pool, and a playout for its answers.

===================  ==============================================================================
``sequential``       one worker, asked again when its answer is played
``immediate``        several workers, each taking the newest observation when it is free
``max_time``         Algorithm 1 of the paper (see ``transport.schedules``)
``expected_time``    Algorithm 2
``frame_clock``      every observation to an idle worker, every answer at a fixed age: the default
===================  ==============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

from transport.realtime import FixedAge, LatencyQuantile, NewestWins, Playout
from transport.schedules import Schedule, make_schedule


@dataclass(frozen=True)
class Scheme:
    """How a world is played in real time.

    Attributes:
        schedule: the pool's, as ``make_schedule`` knows it.
        fixed_age: whether answers are played at an age, as ours are; the paper's as soon as they
            are here.
        sequential: whether it is asked only when nothing is on its way, of one worker.
    """

    schedule: str
    fixed_age: bool = False
    sequential: bool = False

    def make(self, workers: int, initial: float) -> Schedule:
        """The schedule, for so many workers and a first guess of an inference's seconds."""
        return make_schedule(self.schedule, workers, initial=initial)

    def playout(self, initial: int = 1) -> Playout:
        """What plays the answers, with a first guess of their age in frames."""
        return FixedAge(LatencyQuantile(initial=initial)) if self.fixed_age else NewestWins()


SCHEMES: dict[str, Scheme] = {
    "sequential": Scheme("immediate", sequential=True),
    "immediate": Scheme("immediate"),
    "max_time": Scheme("max_time"),
    "expected_time": Scheme("expected_time"),
    "frame_clock": Scheme("frame_clock", fixed_age=True),
}


def find_scheme(name: str) -> Scheme:
    """A scheme by its name.

    Raises:
        ValueError: if there is none.
    """
    if name not in SCHEMES:
        raise ValueError(
            f"there is no schedule {name!r} for real time: choose one of {', '.join(SCHEMES)}"
        )
    return SCHEMES[name]
