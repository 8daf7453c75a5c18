"""Every game as a PettingZoo environment that speaks text: AEC, and Parallel.

An observation is ``{"observation", "action_mask", "text"}``: the facts as ids padded with -1, the
legal actions as 0 / 1, and the facts as sentences, one a line. ``info["legal_actions"]`` holds the
sentence of every legal action, in the order of their numbers; who is not to act has none. Actions
are numbered as the game's ``choice_phrases``, or as its choices where the phrasebook is open. When
an agent's part has ended, its info holds the outcome of the game as well, by name.
"""

from games.environments.aec import TextAEC
from games.environments.parallel import TextParallel

__all__ = ["TextAEC", "TextParallel"]
