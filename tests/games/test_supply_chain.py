"""The supply chain against its rules said again in plain Python, and the solver against play."""

from __future__ import annotations

import itertools
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import games
from games.core import Step
from games.supply_chain import SupplyChainBatched, SupplyChainConfig
from games.supply_chain.offers import everywhere, respond, search
from games.supply_chain.phrases import SUPPLIERS
from games.supply_chain.solver import Profile, Solver
from games.words import plural

TINY = SupplyChainConfig(
    players=2, periods=3, room=1, max_backlog=1, small_capacity=1, demand=(0.3, 0.7)
)


def at_random(batch: games.BatchedGame, rng: np.random.Generator) -> NDArray[np.int64]:
    return (rng.random(len(batch.due_game)) * batch.choice_counts).astype(np.int64)


def follow(batch: SupplyChainBatched, solver: Solver, profile: Profile, episodes: int) -> Step:
    """Plays whole episodes of a profile; returns the last step."""
    rng = np.random.default_rng(1)
    records, players = batch.records, batch.num_players
    returns = []
    for _ in range(episodes):
        for period in range(batch.config.periods):
            state = solver.index(
                records["stock"][:, :players], records["owed"][:, :players], records["backlog"]
            )
            chances = np.stack([profile[s, period, state] for s in range(players)], 1)
            wanted = (chances.cumsum(2) <= rng.random((len(state), players, 1))).sum(2)
            wait = batch.phrasebook.id("I wait")
            move = (batch.choices == (wanted.ravel() + wait)[:, None]).argmax(1)
            step = batch.step(move)
        returns.append(step.outcome["welfare"])
    step.outcome["returns"] = np.concatenate(returns)  # type: ignore[index]
    return step


@pytest.mark.parametrize("players", [2, 3, 4])
def test_every_period_follows_the_rules(players: int) -> None:
    config = SupplyChainConfig(players=players, periods=9, room=3, small_capacity=3)
    batch = SupplyChainBatched(config, 50, 3)
    rng, earned = np.random.default_rng(0), np.zeros((50, players))
    for _ in range(30):
        before = batch.records.copy()
        move = at_random(batch, rng)
        said = [batch.phrasebook[int(batch.choices[row, index])] for row, index in enumerate(move)]
        step = batch.step(move)
        after = batch.records
        for i in range(50):
            old = before[i]
            orders = [_order(sentence) for sentence in said[players * i : players * (i + 1)]]
            stock = [int(x) for x in old["stock"][:players]]
            owed = [int(x) + a for x, (a, _) in zip(old["owed"], orders, strict=False)]
            over = old["period"] + 1 == config.periods
            assert step.over[i] == over
            # What the period brought is read off the next record, or off the outcome at its end.
            rewards = []
            candidates = range(len(config.demand))
            if not over:
                candidates = [int(after[i]["demand"])]  # type: ignore[assignment]
            for demand in candidates:
                wanted = int(old["backlog"]) + demand
                made = min(*stock, wanted)
                backlog = min(wanted - made, config.max_backlog)
                rewards.append(
                    [
                        2.4 * made
                        - 0.1 * (stock[s] - made)
                        - 0.45 / players * backlog
                        - (0.2 if backlog and stock[s] > made else 0)
                        - orders[s][0]
                        - 2 * orders[s][1]
                        for s in range(players)
                    ]
                )
            if over:  # everything that is left is refunded, wherever it lies
                parts = [stock[s] + owed[s] + orders[s][1] for s in range(players)]
                makes = [min(*stock, int(old["backlog"]) + d) for d in candidates]
                rewards = [
                    [r + p - m for r, p in zip(each, parts, strict=True)]
                    for each, m in zip(rewards, makes, strict=True)
                ]
            assert any(np.allclose(step.rewards[i], each, atol=1e-5) for each in rewards)
            earned[i] += step.rewards[i]
            assert step.outcome["welfare"][i] == pytest.approx(earned[i].sum(), abs=1e-4)
            if over:
                earned[i] = 0
                continue
            new = after[i]
            shipped = np.array(owed) - new["owed"][:players]
            assert shipped.min() >= 0
            assert shipped.sum() == min(config.small_capacity, sum(owed))
            for s in range(players):
                assert new["stock"][s] == stock[s] - made + orders[s][1] + shipped[s]
            assert new["backlog"] == backlog


def _order(sentence: str) -> tuple[int, int]:
    """Parts ordered at the small and the large supplier."""
    if sentence == "I wait":
        return 0, 0
    words = sentence.split()
    parts, supplier = int(words[2]), SUPPLIERS.index(words[-2])
    return (parts, 0) if supplier == 0 else (0, parts)


def test_text_says_the_state() -> None:
    batch = SupplyChainBatched(SupplyChainConfig(), 20, 5)
    rng = np.random.default_rng(1)
    for _ in range(7):
        batch.step(at_random(batch, rng))
    for viewer in range(4):
        facts, counts = batch.overview() if viewer == 3 else batch.observe(viewer)
        for i in range(20):
            record = batch.records[i]
            said = batch.phrasebook.render(facts[i, : counts[i]])
            assert f"there are {30 - record['period']} periods left" in said
            for seat in range(3):
                letter = "ABC"[seat if viewer == 3 else (seat - viewer) % 3 - 1]
                mine = seat == viewer
                who = "I have" if mine else f"factory {letter} has"
                parts = plural(int(record["stock"][seat]), "part")
                assert f"{who} {parts} in stock" in said
                parts = plural(int(record["owed"][seat]), "part")
                owed = f"the small supplier owes {'me' if mine else f'factory {letter}'} {parts}"
                assert owed in said


def test_no_order_without_room() -> None:
    batch = SupplyChainBatched(SupplyChainConfig(), 64, 0)
    rng = np.random.default_rng(2)
    for _ in range(40):
        held = batch.records["stock"][:, :3] + batch.records["owed"][:, :3]
        assert held.max() <= 2
        assert (batch.choice_counts == 1 + 2 * (2 - held.ravel())).all()
        batch.step(at_random(batch, rng))


@pytest.mark.parametrize(("players", "optimum"), [(3, 73.5788), (4, 85.8998)])
def test_the_optimum_is_what_its_policy_earns(players: int, optimum: float) -> None:
    config = SupplyChainConfig(players=players)
    solver = Solver(config)
    value, profile = solver.optimum()
    assert value == pytest.approx(optimum, abs=1e-4)
    assert solver.returns(profile).sum() == pytest.approx(value, abs=1e-9)
    batch = SupplyChainBatched(config, 4096, 0)
    returns = follow(batch, solver, profile, 2).outcome["returns"]
    error = returns.std() / np.sqrt(len(returns))
    assert error < 0.2
    assert abs(returns.mean() - value) < 4 * error


def test_a_best_response_is_what_it_earns() -> None:
    config = SupplyChainConfig(periods=10)
    solver = Solver(config)
    _, profile = solver.optimum()
    value, response = solver.best_response(profile, 2)
    assert value > solver.returns(profile)[2] + 1  # the optimum leaves one of them poor
    assert solver.returns(response)[2] == pytest.approx(value, abs=1e-6)
    others = np.delete(np.arange(3), 2)
    assert (response[others] == profile[others]).all()
    batch = SupplyChainBatched(config, 8192, 0)
    welfare = follow(batch, solver, response, 1).outcome["returns"]
    error = welfare.std() / np.sqrt(len(welfare))
    assert abs(welfare.mean() - solver.returns(response).sum()) < 4 * error


def outcomes(config, state, moves):  # type: ignore[no-untyped-def]
    """Every (probability, rewards, state after) of a period, said again in plain Python."""
    stock, owed, backlog = state
    waits = [(s, part) for s in range(2) for part in range(owed[s] + (moves[s] == 1))]
    for demand, chance in enumerate(config.demand):
        made = min(*stock, backlog + demand)
        left = min(backlog + demand - made, config.max_backlog)
        rewards = [
            (1 + config.margin) * made
            - config.holding_cost * (stock[s] - made)
            - config.backlog_cost / 2 * left
            - config.idle_cost * (left > 0 and stock[s] > made)
            - (0, config.small_price, config.large_price)[moves[s]]
            for s in range(2)
        ]
        shipments = list(itertools.combinations(waits, min(config.small_capacity, len(waits))))
        for sent in shipments:
            arrived = [sum(s == seat for s, _ in sent) for seat in range(2)]
            yield (
                chance / len(shipments),
                rewards,
                (
                    tuple(stock[s] - made + (moves[s] == 2) + arrived[s] for s in range(2)),
                    tuple(owed[s] + (moves[s] == 1) - arrived[s] for s in range(2)),
                    left,
                ),
            )


def test_a_tiny_instance_by_brute_force() -> None:
    """The best of all joint plans, and the best answer to a fixed partner, by plain recursion."""

    def legal(state, seat):  # type: ignore[no-untyped-def]
        return range(3) if state[0][seat] + state[1][seat] == 0 else (0,)

    def mean(period, state, moves, follow, weights):  # type: ignore[no-untyped-def]
        return sum(
            chance * (np.dot(weights, rewards) + follow(period + 1, after))
            for chance, rewards, after in outcomes(TINY, state, moves)
        )

    def refund(state, weights):  # type: ignore[no-untyped-def]
        return sum(weights[s] * (state[0][s] + state[1][s]) for s in range(2))

    @lru_cache(None)
    def best(period, state):  # type: ignore[no-untyped-def]
        if period == TINY.periods:
            return refund(state, (1, 1))
        joint = itertools.product(legal(state, 0), legal(state, 1))
        return max(mean(period, state, moves, best, (1, 1)) for moves in joint)

    @lru_cache(None)
    def answer(period, state):  # type: ignore[no-untyped-def]
        """Against a partner that orders at the small supplier whenever it has room."""
        if period == TINY.periods:
            return refund(state, (0, 1))
        partner = 1 if len(legal(state, 0)) > 1 else 0
        return max(mean(period, state, (partner, move), answer, (0, 1)) for move in legal(state, 1))

    solver, start = Solver(TINY), ((1, 1), (0, 0), 0)
    assert solver.optimum()[0] == pytest.approx(best(0, start), abs=1e-9)
    profile = np.zeros((2, TINY.periods, solver.states, solver.moves), np.float32)
    profile[..., 0] = 1
    for stock, owed, backlog in itertools.product((0, 1), (0, 1), (0, 1)):
        for own in ((0, 0), (1, 0), (0, 1)):
            if stock + owed == 0:
                number = solver.index(
                    np.array([[stock, own[0]]]), np.array([[owed, own[1]]]), np.array([backlog])
                )
                profile[0, :, number] = [0, 1, 0]
    assert solver.best_response(profile, 1)[0] == pytest.approx(answer(0, start), abs=1e-9)


def test_nothing_is_to_be_gained_where_the_small_supplier_ships_everything() -> None:
    solver = Solver(SupplyChainConfig(small_capacity=16, periods=12))
    value, profile = solver.optimum()
    assert solver.gain(profile) == pytest.approx(0, abs=1e-6)
    equilibrium = solver.equilibrium()
    assert equilibrium.returns.sum() == pytest.approx(value, abs=1e-6)
    assert equilibrium.unsolved == 0


def test_self_interest_ends_where_the_last_to_answer_has_nothing_to_gain() -> None:
    solver = Solver(SupplyChainConfig(periods=6))
    welfare, profile = solver.selfish()
    assert welfare == pytest.approx(solver.returns(profile).sum(), abs=1e-9)
    assert solver.best_response(profile, 2)[0] == pytest.approx(solver.returns(profile)[2])
    assert profile[:, :, :, 3:].sum() < 0.2 * profile.sum()  # hardly anything dear
    assert welfare < 0.8 * solver.optimum()[0]


def test_an_equilibrium_leaves_nothing_to_gain() -> None:
    solver = Solver(SupplyChainConfig(periods=4))
    value, profile = solver.optimum()
    assert solver.gain(profile) > 0.5  # the optimum is none
    for best in (True, False):
        equilibrium = solver.equilibrium(best)
        assert equilibrium.returns == pytest.approx(solver.returns(equilibrium.profile), abs=1e-6)
        assert equilibrium.returns.sum() < value
        if equilibrium.unsolved == 0:
            assert equilibrium.gain == pytest.approx(0, abs=1e-5)
    most, welfare = solver.stage()
    assert len(welfare) > 1
    assert welfare[0] < welfare[-1] <= most + 1e-9


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("supply-chain@margn=2", "no option 'margn'"),
        ("supply-chain@margin=high", "margin must be a number"),
        ("supply-chain@room=9", "room must be from 1 to 4"),
        ("supply-chain@demand=0.5,0.6", "add up to 1"),
        ("supply-chain@heaven", "no preset 'heaven'; there are lever, plenty"),
        ("supply-chain:9", "played by 2, 3, 4 players"),
    ],
)
def test_bad_options_are_named(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        games.batched(name, num_games=1)


def test_a_setting_too_large_to_solve_is_refused() -> None:
    with pytest.raises(ValueError, match="can be solved"):
        Solver(SupplyChainConfig(players=4, room=3))


def test_the_manual_tells_the_optimum() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "supply-chain.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(supply-chain:[^`]*)` \| ([0-9.]+) \|", manual, re.MULTILINE)
    assert len(rows) == 4
    for name, value in rows:
        batch = games.batched(name, num_games=1)
        assert isinstance(batch, SupplyChainBatched)
        assert Solver(batch.config).optimum()[0] == pytest.approx(float(value), abs=0.0051)


def test_offers_are_what_factories_get_on_top() -> None:
    """The worth of a profile under an offer: its own, and the offer for each dear part bought."""
    plain = Solver(TINY)
    offers = np.random.default_rng(1).random((plain.states, TINY.players))
    paying = Solver(TINY, offers)
    always = np.zeros((2, 3, plain.states, plain.moves), np.float32)
    always[:, :, :, 0] = 1  # to wait
    np.testing.assert_array_equal(paying.returns(always), plain.returns(always))
    _, profile = paying.selfish()
    assert (profile[:, :, :, 2] > 0).any()
    extra = paying.returns(profile) - plain.returns(profile)
    first = profile[:, 0, plain.start, 2] * offers[plain.start]
    dear = profile[:, :, :, 2].any(1)  # in which states anybody ever buys there
    most = np.where(dear.T, offers, 0).max(0) * TINY.periods
    assert (extra >= first - 1e-6).all()
    assert (extra <= most + 1e-6).all()


def test_offers_by_state_leave_a_manager_no_less_than_constant_ones() -> None:
    config = SupplyChainConfig(players=2, periods=8)
    plain = Solver(config)
    nothing = respond(plain, everywhere(plain, 0.0))
    assert nothing.payments == pytest.approx(0, abs=1e-6)
    constant = [respond(plain, everywhere(plain, offer)) for offer in (0.3, 0.5)]
    assert all(found.payments > 0 for found in constant)
    offers, found = search(config, (0.0, 0.3, 0.5))
    assert found == respond(plain, offers)
    assert found.manager >= max(one.manager for one in (nothing, *constant))
