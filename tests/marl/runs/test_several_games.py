"""One set of weights learns several games at once, each with its own answer sheet, or none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents.r3d2.config import R3D2Config
from marl.learning.config import LearnerConfig
from marl.runs.config import ActorConfig, TrainConfig
from marl.runs.serial import SerialRun

CONFIG = TrainConfig(
    games=("hanabi:2-3@very-small", "simple-reference", "escape-room"),
    warm_up=300,
    evaluate_games=2,
    agent=R3D2Config(hidden=32, memory=32, text_hidden=32),
    actor=ActorConfig(num_games=16),
    learner=LearnerConfig(batch=32, lanes=1),
)


def test_every_game_answers_in_its_own_slots() -> None:
    run = SerialRun(CONFIG)
    while run.learner.updates < 3:
        run.step()
    assert run.learning_metrics()["learn/own_hand_loss"] > 0
    cards, goals = run.agent.answers.sheets
    assert "card" in run.agent.phrasebook[int(cards[0, 0])]
    assert "reach" in run.agent.phrasebook[int(goals[0, 0])]
    episodes = run.replay.sample(400).episodes
    labels = np.split(episodes.labels, np.cumsum(episodes.lengths)[:-1])
    seen = {
        setting: np.concatenate([labels[i] for i in np.flatnonzero(episodes.setting == setting)])
        for setting in range(4)
    }
    for setting, answers in seen.items():
        mine = np.zeros(answers.shape[1], np.bool_)
        mine[: len(cards)] = setting < 2
        mine[len(cards) :] = setting == 2
        assert (answers[:, ~mine] == -1).all()
        assert setting == 3 or (answers[:, mine] >= 0).any()
    assert set(seen[2][:, -1].tolist()) == {0, 1, 2}


def test_without_the_head_nothing_is_kept_of_the_sheets() -> None:
    run = SerialRun(replace(CONFIG, agent=replace(CONFIG.agent, own_hand=False)))
    while not len(run.replay):
        run.step()
    assert run.replay.sample(8).episodes.labels.shape[1] == 0
