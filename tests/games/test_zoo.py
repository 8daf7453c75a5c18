"""PettingZoo's environments as games: those of its own, and small ones there and back again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import ParallelEnv

from games import testing, zoo
from games.environments import TextAEC, TextParallel
from games.zoo.describe import Description, roles_of
from games.zoo.worlds import World
from tests.games.toys import Crowd, Sleepers, Toy, Turns


def maker(make: Callable[[], Any], **options: Any) -> testing.Maker:
    return lambda num_games, seed, restart: zoo.batched(
        make, num_games=num_games, seed=seed, restart=restart, **options
    )


def quoting(world: World) -> Description:
    """The words of an environment that speaks text itself."""
    game = world.env.unwrapped.game
    ids = {sentence: place for place, sentence in enumerate(game.phrasebook)}
    first = int(game.choice_phrases[0])
    sentences = tuple(game.phrasebook)
    return Description(
        facts=sentences[:first],
        max_facts=game.max_facts,
        actions=(sentences[first:],) * len(world.agents),
        roles=roles_of(world),
        describe=lambda world, seat: [
            ids[line] for line in world.observation(seat)["text"].splitlines()
        ],
    )


@pytest.mark.parametrize("kind", [TextAEC, TextParallel])
@pytest.mark.parametrize("toy", [Turns, Crowd, Sleepers])
def test_there_and_back_again(toy: type[Toy], kind: type) -> None:
    """A game that became an environment that became a game is a game."""
    testing.check_all(maker(lambda: kind(toy(1, 0, False)), describer=quoting), steps=30)


@pytest.mark.parametrize("toy", [Turns, Crowd])
def test_nothing_is_lost_on_the_way(toy: type[Toy]) -> None:
    there = maker(lambda: TextParallel(toy(1, 0, False)), describer=quoting)
    again = testing.transcribe(there(3, 5, True), 60)
    for index, episodes in enumerate(testing.transcribe(toy(3, 5, True), 60)):
        for episode, other in zip(episodes, again[index], strict=False):
            for turn, mine in zip(episode, other, strict=False):
                for name in ("seats", "facts", "choices", "rewards", "terminated", "truncated"):
                    assert getattr(turn, name) == getattr(mine, name)


def test_turns_are_paid_when_they_come() -> None:
    """In an AEC environment a seat receives by its own turns what it was given in between."""
    there = maker(lambda: TextAEC(Turns(1, 0, False)), describer=quoting)
    again = testing.transcribe(there(3, 5, True), 60)
    for index, episodes in enumerate(testing.transcribe(Turns(3, 5, True), 60)):
        for episode, other in zip(episodes[:-1], again[index], strict=False):
            paid = [np.sum([turn.rewards for turn in each], axis=0) for each in (episode, other)]
            assert np.array_equal(*paid)
            assert [turn.moves for turn in episode] == [turn.moves for turn in other]
            # One round between two turns of a seat, as in any other game of turns.
            assert [turn.elapsed for turn in other] == [0, 1] * (len(other) // 2)


class Visitors(ParallelEnv):
    """Agents that come and go, with spaces of their own: a cook stays, guests come one by one."""

    metadata = {"name": "visitors", "render_modes": []}  # noqa: RUF012
    render_mode = None
    lenient = False

    def __init__(self, max_cycles: int = 8) -> None:
        self.max_cycles = max_cycles
        self.possible_agents = ["cook", "guest_0", "guest_1"]
        self.agents: list[str] = []
        self._seen = {
            "cook": spaces.Dict(
                {
                    "heat": spaces.Box(-1.0, 1.0, (2,), np.float32),
                    "orders": spaces.MultiDiscrete([3, 5]),
                    "pots": spaces.Tuple([spaces.MultiBinary(3), spaces.Discrete(4, start=1)]),
                }
            ),
            "guest": spaces.Box(-np.inf, np.inf, (1,), np.float64),
        }
        self._acts = {"cook": spaces.Discrete(4), "guest": spaces.Discrete(2)}

    def observation_space(self, agent: str) -> spaces.Space:
        return self._seen[agent.split("_")[0]]

    def action_space(self, agent: str) -> spaces.Space:
        return self._acts[agent.split("_")[0]]

    def _look(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        seen: dict[str, Any] = {}
        for agent in self.agents:
            if agent == "cook":
                seen[agent] = {
                    "heat": np.array([self.level, 0.0], np.float32),
                    "orders": np.array([self.cycle % 3, 0]),
                    "pots": (np.array([1, 0, 1], np.int8), 1 + self.cycle % 4),
                }
            else:
                seen[agent] = np.array([100 * self.level])
        infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        infos["cook"] = {"action_mask": np.array([1, 1, self.cycle % 2, 0], np.int8)}
        return seen, infos

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._random = np.random.default_rng(seed)
        self.cycle, self.level = 0, float(self._random.uniform(-1, 1))
        self.agents = ["cook"]
        return self._look()

    def step(self, actions: dict[str, int]) -> Any:
        assert set(actions) == set(self.agents)
        assert self.lenient or actions["cook"] != 2 or self.cycle % 2
        rewards = {agent: float(action + 1) for agent, action in actions.items()}
        self.cycle, self.level = self.cycle + 1, float(self._random.uniform(-1, 1))
        gone = {agent: agent != "cook" and actions[agent] == 1 for agent in self.agents}
        cut = dict.fromkeys(self.agents, self.cycle == self.max_cycles)
        self.agents = [agent for agent in self.agents if not gone[agent]]
        new = {2: "guest_1", 4: "guest_0"}.get(self.cycle)
        self.agents += [new] if new else []
        seen, infos = self._look()
        gone |= dict.fromkeys(self.agents, False)
        cut |= dict.fromkeys({*self.agents} - {*cut}, False)
        for agent in gone:
            seen.setdefault(agent, np.array([0.0]))
            infos.setdefault(agent, {})
        rewards |= dict.fromkeys({*gone} - {*rewards}, 0.0)
        if self.cycle == self.max_cycles:
            self.agents = []
        return seen, rewards, gone, cut, infos


def test_agents_that_come_and_go_with_spaces_of_their_own() -> None:
    make = maker(Visitors)
    testing.check_all(make, steps=50)
    game = make(1, 3, True)
    assert game.roles == ("cook", "guest", "guest")
    told = [turns[0] for _, _, turns in testing.play(game, 8)]
    for cycle, turn in enumerate(told):
        if 0 in turn.seats:
            offered = ["I do action 1", "I do action 2", "I do action 3"]
            assert list(turn.choices[0]) == offered[: 2 + cycle % 2]  # as the mask in the info says
    assert (told[-1].over, told[-1].truncated[0], told[-1].terminated[0]) == (True, True, False)
    due = [turn.seats for turn in told]
    assert due[:3] == [(0,), (0,), (0, 2)]  # guest 1 comes first
    assert (0, 1) in due or (0, 1, 2) in due
    first = told[0].facts[0]
    assert first[0] == "I am a cook in visitors"
    assert {"pots part 1 value 1 is 1", "pots part 1 value 3 is 1"} <= set(first)
    assert "pots part 2 number is 1" in first
    assert not any("orders" in fact for fact in first)  # zeros are not said
    assert any(fact.startswith("heat value 1 lies from") for fact in first)
    guest = told[2].facts[1]
    assert guest[0] == "I am a guest in visitors"
    assert any(word in guest[1] for word in ("value 1 lies from", "is below", "is above"))


def test_generic_words_say_the_number() -> None:
    """Every value lies where its sentence says, at the edges too."""
    shown = np.zeros(4, np.float32)

    class Scales(Visitors):
        def observation_space(self, agent: str) -> spaces.Space:
            return box

        def _look(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
            return dict.fromkeys(self.agents, shown), {agent: {} for agent in self.agents}

    low, high = np.float32([-1, 0, -np.inf, 0]), np.float32([1, 10, np.inf, 1000])
    box = spaces.Box(low, high, dtype=np.float32)
    values = np.float32([-0.97, 6.6, -2000.0, 999.0]), np.float32([1.0, 10.0, 0.005, 1.0])
    for row, words in zip(
        values,
        (
            ("lies from -1 to -0.9", "is 7", "is below -1000", "lies from 950 to 1e+03"),
            ("lies from 0.9 to 1", "is 10", "is about 0", "lies from 0 to 50"),
        ),
        strict=True,
    ):
        shown[:] = row
        game = zoo.batched(Scales, num_games=1)
        said = game.phrasebook.render(game.facts[0])[1:]
        assert said == [f"value {number} {word}" for number, word in enumerate(words, start=1)]


def test_what_cannot_be_said_is_refused() -> None:
    class Painter(Visitors):
        def observation_space(self, agent: str) -> spaces.Space:
            return spaces.Box(0, 255, (100, 100, 3), np.uint8)

    class Writer(Visitors):
        def observation_space(self, agent: str) -> spaces.Space:
            return spaces.Text(10)

    class Sculptor(Visitors):
        def action_space(self, agent: str) -> spaces.Space:
            return spaces.Box(0, 1, (3,))

    class Stranger(Visitors):
        def __init__(self) -> None:
            super().__init__()
            del self.possible_agents

    for env, words in (
        (Painter, "observes 30000 numbers: more sentences than a phrasebook holds"),
        (Writer, r"observes Text\(.*write a describer"),
        (Sculptor, "must be Discrete"),
        (Stranger, "names no possible_agents"),
    ):
        with pytest.raises(ValueError, match=words):
            zoo.batched(env)
    with pytest.raises(ValueError, match="frame_skip must be at least 1, got 0"):
        zoo.batched(Visitors, frame_skip=0)


def test_a_choice_may_stand_for_several_rounds() -> None:
    class Unmasked(Visitors):
        lenient = True

        def _look(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
            seen, infos = super()._look()
            return seen, {agent: {} for agent in infos}

    testing.check_all(maker(Unmasked, frame_skip=3), steps=40)
    game = zoo.batched(lambda: Unmasked(8), frame_skip=3)
    # Cut short when the first guest comes, after two rounds, and the second, after two more.
    elapsed, rewards = [], []
    for _ in range(4):
        step = game.step(np.zeros(len(game.due_game), int))
        elapsed.append(int(step.elapsed[0]))
        rewards.append(step.rewards[0].tolist())
    assert elapsed == [2, 2, 3, 1]
    assert rewards == [[2, 0, 0], [2, 0, 2], [3, 3, 3], [1, 1, 1]]
    assert step.over[0]


def test_an_endless_environment_is_cut_off() -> None:
    game = zoo.batched(lambda: Visitors(10**9), max_turns=5, restart=False)
    for turn in range(5):
        step = game.step(np.zeros(len(game.due_game), int))
        assert step.over[0] == (turn == 4)
    assert step.truncated[0].all()
    assert not len(game.due_game)


def test_what_does_not_play_the_same_again_cannot_be_resumed() -> None:
    class Moody(Visitors):
        def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            return super().reset(None)

    game = zoo.batched(Moody, num_games=2)
    with pytest.raises(ValueError, match="did not play the same again"):
        game.load_state(game.state())
    other = zoo.batched(lambda: TextParallel(Crowd(1, 0, False)), quoting, num_games=2)
    with pytest.raises(ValueError, match=r"another setting|does not fit"):
        zoo.batched(Visitors, num_games=2).load_state(other.state())
