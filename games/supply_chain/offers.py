"""What a manager gets for its offers from factories that do what is best for themselves, exactly.

An offer is what a factory is paid on top for each part that it orders from the large supplier. The
factories answer with best responses in turn (``Solver.selfish``). What they come to depends on how
often each has its turn, so that the worse for the manager of one round and of two counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from games.supply_chain.cases import Floats, Ints
from games.supply_chain.rules import SupplyChainConfig
from games.supply_chain.solver import Solver, every_state

ROUNDS = (1, 2)


class Response(NamedTuple):
    """What offers come to.

    Attributes:
        raw: what all factories earn together, without what they are paid.
        payments: what they are paid.
    """

    raw: float
    payments: float

    @property
    def manager(self) -> float:
        """What the manager keeps."""
        return self.raw - self.payments


def respond(plain: Solver, offers: Floats) -> Response:
    """What offers come to.

    Args:
        plain: of the setting, without offers.
        offers: float64 [S, P], for each part from the large supplier.
    """
    paying = Solver(plain.config, offers)
    found = []
    for rounds in ROUNDS:
        welfare, profile = paying.selfish(rounds)
        raw = float(plain.returns(profile).sum())
        found.append(Response(raw, welfare - raw))
    return min(found, key=lambda response: response.manager)


def everywhere(plain: Solver, offer: float) -> Floats:
    """The same offer to everybody in every state: float64 [S, P]."""
    return np.full((plain.states, plain.config.players), offer)


def search(
    config: SupplyChainConfig, ladder: Sequence[float], sweeps: int = 1
) -> tuple[Floats, Response]:
    """Offers by state that leave a manager more, found one after the other.

    A factory's offer depends on its own stock and parts on order, on the backlog, and on how many
    others have parts. From the best constant offer on, each of these cases is tried with every
    offer while the others stay as they are. What is found is good, and not known to be the best.

    Args:
        config: the setting.
        ladder: what may be offered.
        sweeps: times that all cases are gone through.

    Returns:
        the offers, float64 [S, P], and what they come to.
    """
    plain = Solver(config)
    best, most = everywhere(plain, 0.0), respond(plain, everywhere(plain, 0.0))
    for offer in ladder:
        tried = everywhere(plain, offer)
        if (found := respond(plain, tried)).manager > most.manager:
            best, most = tried, found
    for _ in range(sweeps):
        cases = _cases(config)
        for case in np.unique(cases[cases >= 0]):
            for offer in ladder:
                tried = np.where(cases == case, offer, best)
                if (found := respond(plain, tried)).manager > most.manager:
                    best, most = tried, found
    return best, most


def _cases(config: SupplyChainConfig) -> Ints:
    """Numbers of the cases that offers depend on, int64 [S, P]; -1 where there is no room."""
    stock, owed, backlog = every_state(config)
    ready = (stock > 0).sum(1, keepdims=True) - (stock > 0)
    number = stock
    for more, size in ((owed, config.room), (backlog[:, None], config.max_backlog), (ready, 3)):
        number = number * (size + 1) + more
    return np.where(stock + owed < config.room, number, -1)
