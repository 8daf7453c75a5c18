"""The phrasebook: sentences to ids and back."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from games import PAD, Phrasebook
from games.hanabi.phrases import PHRASEBOOK, locate
from games.text import shared


def test_rendering_and_parsing_are_inverse() -> None:
    ids = np.arange(len(PHRASEBOOK), dtype=np.int16)
    sentences = PHRASEBOOK.render(ids)
    assert len(set(sentences)) == len(PHRASEBOOK)
    parsed = PHRASEBOOK.parse(sentences)
    assert parsed.dtype == np.int16
    assert np.array_equal(parsed, ids)


def test_padding_is_not_rendered() -> None:
    book = Phrasebook(["a b", "c"])
    assert book.render([1, PAD, 0, PAD]) == ["c", "a b"]
    with pytest.raises(IndexError):
        book[PAD]


def test_closed_phrasebook_knows_only_its_own() -> None:
    book = Phrasebook(["a b", "c"])
    with pytest.raises(ValueError, match="no phrase 'd'"):
        book.parse(["c", "d"])
    with pytest.raises(ValueError, match="closed"):
        book.intern("d")
    assert book.intern("c") == 1


def test_open_phrasebook_grows() -> None:
    book = Phrasebook(closed=False)
    assert [book.intern(s) for s in ("one", "two", "one")] == [0, 1, 0]
    assert list(book) == ["one", "two"]
    assert "two" in book


@pytest.mark.parametrize("phrase", ["", " a", "a  b", "a\nb"])
def test_stray_white_space_is_refused(phrase: str) -> None:
    with pytest.raises(ValueError, match="single spaces"):
        Phrasebook([phrase])


def test_double_and_too_many_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Phrasebook(["a", "a"])
    with pytest.raises(ValueError, match="full"):
        Phrasebook(str(i) for i in range(2**15 + 1))
    assert len(Phrasebook(str(i) for i in range(2**15))) == 2**15


def test_renaming_replaces_words() -> None:
    words = {"red": "blue", "blue": "green", "green": "red"}
    renaming = PHRASEBOOK.renaming(words)
    assert np.array_equal(np.sort(renaming), np.arange(len(PHRASEBOOK)))
    there_and_back = renaming[renaming[renaming]]
    assert np.array_equal(there_and_back, np.arange(len(PHRASEBOOK)))
    for id in range(0, len(PHRASEBOOK), 7):
        old, new = PHRASEBOOK[id].split(), PHRASEBOOK[int(renaming[id])].split()
        assert [words.get(word, word) for word in old] == new
        assert locate(id)[0] is locate(int(renaming[id]))[0]


@pytest.mark.parametrize("words", [{"red": "blue"}, {"red": "pink"}, {"red": "blue", "blue": "x"}])
def test_renaming_refuses_what_is_no_permutation(words: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="permutation"):
        PHRASEBOOK.renaming(words)


def test_renaming_refuses_to_leave_the_phrasebook() -> None:
    with pytest.raises(ValueError, match="no phrase"):
        PHRASEBOOK.renaming({"red": "card", "card": "red"})


def grow(path: Path, mine: int, count: int) -> list[int]:
    """A process that says what others say too, in an order of its own."""
    book = Phrasebook(["hello"], closed=False)
    book.share(path)
    return [book.intern(f"number {mine * 7 * i % count}") for i in range(count)]


def test_processes_that_share_a_phrasebook_mean_the_same_by_an_id(tmp_path: Path) -> None:
    path, count = tmp_path / "phrases.txt", 101
    with ProcessPoolExecutor(3, multiprocessing.get_context("fork")) as pool:
        found = list(pool.map(grow, [path] * 3, [1, 2, 3], [count] * 3))
    book = Phrasebook(["hello"], closed=False)
    book.share(path)
    assert len(book) == count + 1
    for mine, ids in enumerate(found, 1):
        assert [book.id(f"number {mine * 7 * i % count}") for i in range(count)] == ids


def test_what_others_say_is_caught_up_with(tmp_path: Path) -> None:
    one, two = Phrasebook(["a b"], closed=False), Phrasebook(closed=False)
    one.share(tmp_path / "book")
    two.share(tmp_path / "book")
    assert list(two) == ["a b"]
    assert one.intern("c") == 1
    assert len(two) == 1
    two.catch_up()
    assert list(two) == ["a b", "c"]
    one.intern("d")
    assert two.intern("e") == 3
    assert two.intern("d") == 2
    # One that died while it was writing leaves half a line, which is nobody's id.
    with (tmp_path / "book").open("a") as file:
        file.write("half a li")
    one.catch_up()
    assert one.intern("f") == 4
    assert (tmp_path / "book").read_text() == "a b\nc\nd\ne\nf\n"


def test_a_phrasebook_of_another_game_is_not_shared(tmp_path: Path) -> None:
    Phrasebook(["a"], closed=False).share(tmp_path / "book")
    with pytest.raises(ValueError, match="another game: 'a' has the id of 'b'"):
        Phrasebook(["b"], closed=False).share(tmp_path / "book")
    with pytest.raises(ValueError, match="nothing to share"):
        Phrasebook(["a"]).share(tmp_path / "book")


def test_games_of_several_processes_get_one_book(tmp_path: Path) -> None:
    """Whatever each of them has said before."""
    path = tmp_path / "book"
    closed = Phrasebook(["a", "b"])
    assert shared([closed, closed], path) is closed
    assert not path.exists()
    one = shared([Phrasebook(["x", "y"], closed=False)], path)
    two = shared([Phrasebook(["y", "z"], closed=False), closed], path)
    one.catch_up()
    assert list(one) == list(two)
    assert set(two) == {"x", "y", "z", "a", "b"}


def test_phrases_of_another_life_keep_their_ids() -> None:
    book = Phrasebook(["a"], closed=False)
    book.adopt(["a", "b", "c"])
    assert [book.id(phrase) for phrase in "abc"] == [0, 1, 2]
    with pytest.raises(ValueError, match="phrase 1 is 'b' here and was 'x'"):
        book.adopt(["a", "x"])
