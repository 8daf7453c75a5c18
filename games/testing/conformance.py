"""Whether a game keeps the promises of ``games.core``, checked by playing it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.core import BatchedGame, Step
from games.testing.knowledge import Decode, Scramble, Truth, check_decoding, check_hidden
from games.testing.transcript import (
    Episode,
    Maker,
    expect,
    expect_same,
    moves,
    play,
    transcribe,
)
from games.text import PAD


def check_all(
    make: Maker,
    *,
    decode: Decode | None = None,
    truth: Truth | None = None,
    scramble: Scramble | None = None,
    num_games: int = 4,
    steps: int = 200,
) -> None:
    """Everything below, PettingZoo's own tests included.

    Args:
        make: makes the game.
        decode: see ``check_decoding``; left out, the text is not decoded.
        truth: see ``check_decoding``.
        scramble: see ``check_hidden``; to be left out only where nothing is hidden.
        num_games: N.
        steps: steps of play in each check: enough for a few episodes.

    Raises:
        AssertionError: naming what is wrong.
    """
    check_play(make, num_games, steps)
    check_seeds(make, num_games, steps)
    check_state(make, num_games, steps)
    check_restart(make, num_games, steps)
    check_refusals(make, num_games)
    check_environments(make)
    if decode is not None and truth is not None:
        check_decoding(make, decode, truth, num_games, steps)
    if scramble is not None:
        check_hidden(make, scramble, num_games)


def check_rows(game: BatchedGame) -> None:
    """What the arrays show now is in order.

    Due rows are sorted and unique; facts and choices are among the declared phrases, PAD beyond
    their counts, choices distinct; rendering and parsing are inverse; a due seat's row is what
    ``observe`` says.
    """
    seats, rows = game.num_players, len(game.due_game)
    expect(len(game.roles) == seats, f"{seats} seats have {len(game.roles)} roles: {game.roles}")
    key = game.due_game.astype(np.int64) * seats + game.due_seat
    expect(bool((np.diff(key) > 0).all()), f"due rows are not sorted and unique: {key}")
    in_range = (game.due_game >= 0) & (game.due_game < game.num_games)
    in_range &= (game.due_seat >= 0) & (game.due_seat < seats)
    expect(bool(in_range.all()), "a due row names a game or seat that does not exist")
    widths = {"due_game": (), "due_seat": (), "fact_counts": (), "choice_counts": ()}
    shapes: dict[str, tuple[int, ...]] = widths | {
        "facts": (game.max_facts,),
        "choices": (game.max_choices,),
        "labels": (len(game.label_phrases),),
    }
    types = {"due_game": np.int32, "due_seat": np.int8, "labels": np.int8}
    for name, width in shapes.items():
        array, dtype = getattr(game, name), np.dtype(types.get(name, np.int16))
        expect(
            array.shape == (rows, *width) and array.dtype == dtype,
            f"{name} must be {dtype} {(rows, *width)}, is {array.dtype} {array.shape}",
        )
    _check_ids("facts", game.facts, game.fact_counts, game.fact_phrases)
    _check_ids("choices", game.choices, game.choice_counts, game.choice_phrases)
    expect(bool((game.choice_counts >= 1).all()), "a due seat has no choice")
    for row in range(rows):
        choices = game.choices[row, : game.choice_counts[row]].tolist()
        expect(len({*choices}) == len(choices), f"row {row} offers a choice twice: {choices}")
        for ids in (game.facts[row, : game.fact_counts[row]], choices):
            again = game.phrasebook.parse(game.phrasebook.render(ids))
            expect(np.array_equal(again, ids), f"row {row} does not parse as it was rendered")
    for seat in range(seats):
        facts, counts = game.observe(seat)
        mine = game.due_seat == seat
        where = game.due_game[mine]
        same = np.array_equal(facts[where], game.facts[mine])
        same &= np.array_equal(counts[where], game.fact_counts[mine])
        expect(same, f"observe({seat}) says something else than the rows of due seats")
    if game.label_phrases.size:
        most = game.label_phrases.shape[1]
        right = bool(((game.labels >= -1) & (game.labels < most)).all())
        expect(right, f"labels must lie from -1 to {most - 1}")


def check_play(make: Maker, num_games: int = 4, steps: int = 200) -> None:
    """Rows are in order at every moment of play, and rewards, ends and outcomes agree.

    Every reward reaches the seat that earned it: a seat is paid when it is next due or when its
    part ends, nothing is earned after that, and nothing is left when the game is over.
    """
    game = make(num_games, 2, True)
    expect(game.num_games == num_games, f"num_games is {game.num_games}, not {num_games}")
    _check_words(game)
    ledger = _Ledger(game)
    check_rows(game)
    ledger.pay(game)
    for _, step, _ in play(game, steps):
        _check_step(game, step)
        ledger.enter(step)
        check_rows(game)
        ledger.pay(game)


def check_seeds(make: Maker, num_games: int = 4, steps: int = 200) -> None:
    """A seed fixes everything: in a batch, alone, at a later episode, and after ``reset``."""
    first, twin = make(num_games, 30, True), make(num_games, 30, True)
    record = transcribe(first, steps)
    # Played by turns with a stranger, so that random numbers shared between batches would show.
    other = make(num_games, 900, True)
    again: list[list[Episode]] = [[[]] for _ in range(num_games)]
    for (_, _, turns), _ in zip(play(twin, steps), play(other, steps), strict=True):
        for episodes, turn in zip(again, turns, strict=True):
            if turn is not None:
                episodes[-1].append(turn)
                if turn.over:
                    episodes.append([])
    for index in range(num_games):
        expect_same(record[index], again[index], f"game {index} played twice")
        for number, episode in enumerate(record[index][:3]):
            seed = 30 + index + number * num_games
            alone = transcribe(make(1, seed, True), len(episode))[0]
            expect_same([episode], alone, f"game {index} and the game of seed {seed} alone")
    first.reset()
    expect_same(record[0], transcribe(first, steps)[0], "after reset")
    seeds = np.arange(num_games, dtype=np.uint64)[::-1] + np.uint64(30)
    first.reset(seeds)
    mirrored = transcribe(first, steps)
    for index in range(num_games):
        expect_same(record[index][:1], mirrored[-1 - index][:1], f"reset to seed {30 + index}")


def check_state(make: Maker, num_games: int = 4, steps: int = 200) -> None:
    """A saved game goes on bit for bit, in a fresh batch or in one that has gone elsewhere."""
    game, ahead = make(num_games, 11, True), max(1, min(17, steps // 3))
    for _ in play(game, ahead):
        pass
    state = game.state()
    for name, array in state.items():
        right = isinstance(array, np.ndarray) and array.dtype.kind in "biuf"
        expect(right, f"state {name!r} must be a plain numeric array, is {array!r:.80}")
    kept = {name: array.copy() for name, array in state.items()}
    rows = _rows(game)
    record = transcribe(game, steps, salt=1)
    for name, array in kept.items():
        same = np.array_equal(array, state[name])
        expect(same, f"state {name!r} changed while the game went on: it is no copy")
    elsewhere = make(num_games, 500, True)
    for _ in play(elsewhere, ahead + 3):
        pass
    for batch in (make(num_games, 77, True), elsewhere, game):
        batch.load_state(kept)
        check_rows(batch)
        if batch.phrasebook.closed:
            for name, array in rows.items():
                same = np.array_equal(array, _rows(batch)[name])
                expect(same, f"{name} after load_state are not those that were saved")
        for index, episodes in enumerate(transcribe(batch, steps, salt=1)):
            expect_same(record[index], episodes, f"game {index} loaded")
    larger = make(num_games + 1, 0, True)
    before = _rows(larger)
    for wrong in (kept, {}):
        _expect_refused(partial(larger.load_state, wrong), "a state of another batch")
        _expect_rows(larger, before, "a refused state")


def check_restart(make: Maker, num_games: int = 4, steps: int = 200) -> None:
    """With ``restart=False`` a finished game shows its end until ``reset``; else it goes on."""
    game = make(num_games, 3, False)
    over = np.zeros(num_games, bool)
    for _, step, _ in play(game, 50 * steps):
        over |= step.over
        expect(not over[game.due_game].any(), "a seat of a finished game is due")
        check_rows(game)
        if over.all():
            break
    expect(bool(over.all()), f"no end within {50 * steps} steps")
    for seat in range(game.num_players):
        game.observe(seat)  # the end can be looked at
    game.reset()
    _expect_rows(game, _rows(make(num_games, 3, True)), "reset after the end")


def check_refusals(make: Maker, num_games: int = 4) -> None:
    """A bad ``move_index`` is refused, and nothing has moved."""
    game, twin = make(num_games, 6, True), make(num_games, 6, True)
    good = moves(game, np.zeros(num_games, np.int64))
    before = _rows(game)
    last, beyond, below = len(good) - 1, good.copy(), good.copy()
    beyond[last], below[last] = game.choice_counts[last], -1
    wrong: dict[str, Any] = {
        "an index beyond the choices": beyond,
        "a negative index": below,
        "a row too few": good[:-1],
        "a row too many": np.append(good, 0),
        "floats": good.astype(np.float64),
    }
    for what, index in wrong.items():
        _expect_refused(partial(game.step, index), what)
        _expect_rows(game, before, what)
    for index, (one, other) in enumerate(
        zip(transcribe(game, 20), transcribe(twin, 20), strict=True)
    ):
        expect_same(one, other, f"game {index} after refused moves")


def check_environments(make: Maker, num_cycles: int = 60) -> None:
    """PettingZoo's own tests of the game as an AEC and as a Parallel environment."""
    from pettingzoo.test import api_test, parallel_api_test, seed_test
    from pettingzoo.utils.conversions import parallel_to_aec

    from games.environments import TextAEC, TextParallel

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for remark in (
            "Action mask numpy array is all zeros",
            "Observation is not a NumPy array",
            # An observation may be one sentence, and that the first of the book.
            "Observation is a single number",
            "Observation numpy array is all zeros",
            "Observation space for each agent probably should be",
            "No agents present but not all possible_agents",
            ".*calling render method without specifying any render mode",  # PettingZoo's own pong
        ):
            warnings.filterwarnings("ignore", remark)
        api_test(TextAEC(make(1, 0, False)), num_cycles=num_cycles)
        seed_test(lambda: TextAEC(make(1, 0, False)), num_cycles=num_cycles)
        parallel_api_test(TextParallel(make(1, 0, False)), num_cycles=num_cycles)
        # PettingZoo's own parallel test stops after a step: the AEC test runs on the conversion.
        seed_test(lambda: parallel_to_aec(TextParallel(make(1, 0, False))), num_cycles=num_cycles)


class _Ledger:
    """Who has earned what, and who has been paid."""

    def __init__(self, game: BatchedGame) -> None:
        shape = (game.num_games, game.num_players)
        self.max_turns = game.max_turns
        self.owed = np.zeros(shape)
        self.turns = np.zeros(shape, np.int64)
        self.ended = np.zeros(shape, bool)

    def pay(self, game: BatchedGame) -> None:
        """The due seats are paid, and have a turn."""
        due = (game.due_game, game.due_seat)
        expect(not self.ended[due].any(), "a seat is due whose part has ended")
        self.owed[due] = 0
        self.turns[due] += 1
        most, bound = int(self.turns.max()), self.max_turns
        expect(bound is None or most <= bound, f"a seat had turn {most}, but max_turns is {bound}")

    def enter(self, step: Step) -> None:
        """What a step brought is owed; who has come to an end is paid."""
        ends = step.terminated | step.truncated
        expect(not (ends & self.ended).any(), "a seat's part in an episode ended twice")
        self.owed += step.rewards
        self.owed[ends] = 0
        self.ended |= ends
        for game in np.flatnonzero(step.over).tolist():
            lost = np.flatnonzero(self.owed[game]).tolist()
            expect(not lost, f"game {game} is over, and seats {lost} never receive their rewards")
            open_ = np.flatnonzero((self.turns[game] > 0) & ~self.ended[game]).tolist()
            expect(not open_, f"game {game} is over, but not for seats {open_}")
            self.turns[game], self.ended[game] = 0, False


def _check_step(game: BatchedGame, step: Step) -> None:
    n, p = game.num_games, game.num_players
    shapes: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
        "rewards": (step.rewards, np.float32, (n, p)),
        "terminated": (step.terminated, np.bool_, (n, p)),
        "truncated": (step.truncated, np.bool_, (n, p)),
        "over": (step.over, np.bool_, (n,)),
        "elapsed": (step.elapsed, np.int32, (n,)),
        **{f"outcome {k}": (v, np.float32, (n,)) for k, v in step.outcome.items()},
    }
    for name, (array, dtype, shape) in shapes.items():
        expect(
            array.shape == shape and array.dtype == dtype,
            f"{name} must be {np.dtype(dtype)} {shape}, is {array.dtype} {array.shape}",
        )
    expect(bool(np.isfinite(step.rewards).all()), "a reward is not finite")
    expect(not (step.terminated & step.truncated).any(), "a seat is terminated and truncated")
    expect(bool((step.elapsed >= 0).all()), "time runs backwards")
    expect(
        tuple(step.outcome) == game.scoring,
        f"outcome has {tuple(step.outcome)}, scoring {game.scoring}",
    )
    if game.max_score is not None and step.over.any():  # rewards may be below 0 until then
        best = float(step.outcome[game.scoring[0]][step.over].max())
        expect(best <= game.max_score + 1e-3, f"{best} is more than max_score {game.max_score}")


def _check_ids(
    what: str, ids: NDArray[np.int16], counts: NDArray[np.int16], phrases: NDArray[np.int16]
) -> None:
    used = np.arange(ids.shape[1]) < counts[:, None]
    expect(bool((ids[~used] == PAD).all()), f"{what} are not PAD beyond their count")
    strange = np.setdiff1d(ids[used], phrases)
    expect(not len(strange), f"{what} {strange} are not among the declared phrases")
    expect(bool((np.diff(phrases) > 0).all()), f"the phrases of {what} are not sorted")


def _check_words(game: BatchedGame) -> None:
    """The words that Other-Play permutes turn each phrase into another."""
    words = game.interchangeable
    game.phrasebook.renaming(dict(zip(words, words[1:] + words[:1], strict=True)))


def _rows(game: BatchedGame) -> dict[str, NDArray[Any]]:
    names = ("due_game", "due_seat", "facts", "fact_counts", "choices", "choice_counts", "labels")
    return {name: getattr(game, name).copy() for name in names}


def _expect_rows(game: BatchedGame, rows: dict[str, NDArray[Any]], what: str) -> None:
    for name, array in rows.items():
        same = np.array_equal(getattr(game, name), array)
        expect(same, f"{what}: {name} are not what they should be")


def _expect_refused(call: Callable[[], object], what: str) -> None:
    try:
        call()
    except ValueError:
        return
    raise AssertionError(f"{what} was not refused with a ValueError")
