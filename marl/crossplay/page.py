"""A cross-play as one HTML page: a heat map for each setting, averages, and all cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from marl.crossplay.cells import CrossplayConfig
from marl.crossplay.heatmap import labels, outcome
from marl.crossplay.matrix import LEVEL, RESAMPLES, AgentFigures, CellFigures, Estimate, Matrix
from marl.crossplay.sheet import listing, page, shade, under_each


def render(config: CrossplayConfig, matrices: Sequence[Matrix], tops: Sequence[float]) -> str:
    """The page, the same text for the same figures.

    Args:
        config: what was played.
        matrices: one a setting.
        tops: of each, the score of a perfect game, where the colour scale ends.
    """
    about = (
        f"{escape(', '.join(config.settings))} · {len(config.agents)} agents · "
        f"{config.games} games a cell · seed {config.seed}"
    )
    return page(
        "Cross-play",
        f"Cross-play: {', '.join(labels(config.agents))}",
        about,
        {m.setting.slug: m.setting.name for m in matrices},
        list(dict.fromkeys(rule for m in matrices for rule in m.rules)),
        [_section(*one) for one in zip(matrices, tops, strict=True)],
        _FOOTER,
    )


def _section(matrix: Matrix, top: float) -> str:
    n, setting = matrix.setting.seats, matrix.setting
    cards = [_card("self-play", matrix.self_play)]
    if matrix.cross_play is not None and matrix.gap is not None:
        cards += [_card("cross-play", matrix.cross_play), _card("gap", matrix.gap)]
    if n == 2:
        reading = "Every pairing was played in both seatings: each of the two begins as often."
    else:
        reading = (
            f"<b>One</b> agent of the row sits among <b>{n - 1}</b> of the column. Its place in "
            "the order of turns goes round, and everybody begins as often."
        )
    names = [escape(label) for label in labels(matrix.names)]
    return f"""<section id="{setting.slug}" data-setting="{setting.slug}"
 data-rules="{" ".join(matrix.rules)}">
<h2>{escape(setting.name)}</h2>
<div class="cards">{"".join(cards)}</div>
<p>{reading} Framed: with itself. ± one standard error.</p>
<div class="scroll">{_heat_map(matrix, names, top)}</div>
<h3>Averages of each agent</h3>
<div class="scroll">{_agents(matrix, names)}</div>
<details><summary>All cells</summary><div class="scroll">{_cells(matrix, names)}</div></details>
</section>"""


def _card(name: str, estimates: Mapping[str, Estimate]) -> str:
    values = under_each(
        {
            rule: f"<strong>{e.mean:.2f}</strong> <small>{e.low:.2f} to {e.high:.2f}</small>"
            for rule, e in estimates.items()
        }
    )
    return f'<div class="card"><span>{name}</span>{values}</div>'


def _heat_map(matrix: Matrix, names: Sequence[str], top: float) -> str:
    heads = "".join(f'<th scope="col"><div>{name}</div></th>' for name in names)
    tables = []
    for rule in matrix.rules:
        rows = []
        for guest, name in enumerate(names):
            tiles = [_tile(matrix, guest, hosts, rule, names, top) for hosts in range(len(names))]
            mean = matrix.agents[guest].cross_play
            tiles.append(shade(None if mean is None else mean[rule], top, "cross-play"))
            rows.append(f'<tr><th scope="row">{name}</th>{"".join(tiles)}</tr>')
        corner = "agent \\ partner" if matrix.setting.seats == 2 else "one \\ the others"
        tables.append(
            f'<table class="heat rule" data-rule="{rule}"><caption>{outcome(rule)}</caption>'
            "<thead><tr>"
            f'<th class="corner">{corner}</th>{heads}'
            f'<th scope="col" class="apart"><div>cross-play</div></th></tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table>"
        )
    return "".join(tables)


def _tile(
    matrix: Matrix, guest: int, hosts: int, rule: str, names: Sequence[str], top: float
) -> str:
    figures = matrix.cells.get((guest, hosts))
    if figures is None:
        reasons = [
            f"{matrix.names[i]}: {reason}"
            for i in sorted({guest, hosts})
            if (reason := matrix.agents[i].unable) is not None
        ]
        return f'<td class="unable" title="{escape("; ".join(reasons))}">not able</td>'
    e = figures.scores[rule]
    turns = ", ".join("-" if math.isnan(mean) else f"{mean:.2f}" for mean in figures.by_turn[rule])
    about = (
        f"{names[guest]} with {names[hosts]}: {e.mean:.3f} ({e.low:.3f} to {e.high:.3f}), "
        f"{_lost(figures)}{figures.games} games, {figures.turns:.1f} moves a game; "
        f"{names[guest]} first, second ... to act: {turns}"
    )
    return shade(e, top, about, "own" if guest == hosts else "")


def _lost(figures: CellFigures) -> str:
    return "" if figures.lost_share is None else f"{figures.lost_share:.1%} lost, "


def _agents(matrix: Matrix, names: Sequence[str]) -> str:
    columns = {
        "self-play": "self_play",
        "cross-play": "cross_play",
        "alone among others": "as_guest",
        "with one other": "as_hosts",
    }
    if matrix.setting.seats == 2:  # the three are the same
        columns = dict(list(columns.items())[:2])
    tables = []
    for rule in matrix.rules:
        rows = []
        for name, agent in zip(names, matrix.agents, strict=True):
            values = "".join(_interval(agent, field, rule) for field in columns.values())
            note = "" if agent.unable is None else f" <small>{escape(agent.unable)}</small>"
            rows.append(f'<tr><th scope="row">{name}{note}</th>{values}</tr>')
        tables.append(listing(["agent", *columns], rows, rule))
    return "".join(tables)


def _interval(agent: AgentFigures, field: str, rule: str) -> str:
    estimates: Mapping[str, Estimate] | None = getattr(agent, field)
    if estimates is None:
        return '<td data-value="-1">–</td>'
    e = estimates[rule]
    small = f"<small>{e.low:.2f} to {e.high:.2f}</small>"
    return f'<td data-value="{e.mean:.6f}">{e.mean:.2f} {small}</td>'


def _cells(matrix: Matrix, names: Sequence[str]) -> str:
    heads = ["agent", "partner"] if matrix.setting.seats == 2 else ["one", "the others"]
    heads += ["mean", "95 % interval", "lost", "moves", "games"]
    tables = []
    for rule in matrix.rules:
        rows = [
            _row(figures, names, rule)
            for (guest, hosts), figures in sorted(matrix.cells.items())
            if matrix.setting.seats > 2 or guest <= hosts
        ]
        tables.append(listing(heads, rows, rule))
    return "".join(tables)


def _row(figures: CellFigures, names: Sequence[str], rule: str) -> str:
    e = figures.scores[rule]
    return (
        f"<tr><th>{names[figures.guest]}</th><th>{names[figures.hosts]}</th>"
        f'<td data-value="{e.mean:.6f}">{e.mean:.2f}</td>'
        f'<td data-value="{e.high - e.low:.6f}">{e.low:.2f} to {e.high:.2f}</td>'
        f'<td data-value="{figures.lost_share or 0:.6f}">{_lost(figures)[:-7] or "-"}</td>'
        f'<td data-value="{figures.turns:.6f}">{figures.turns:.1f}</td>'
        f'<td data-value="{figures.games}">{figures.games}</td></tr>'
    )


_FOOTER = (
    "<p><b>Self-play</b> is the mean of the framed cells, <b>cross-play</b> that of all pairings "
    "of different agents (a pairing of more than two players is the mean of its two mixes: one "
    "agent among many of the other, and the other way round), the <b>gap</b> their difference. "
    "An agent's <b>cross-play</b> is its mean over all its pairings with others.</p>"
    f"<p>Intervals hold {LEVEL:.0%} of {RESAMPLES} bootstrap means over deals. All cells of a "
    "matrix were dealt the same cards, and the same deals are drawn for all of them. In Hanabi a "
    "game is <b>lost</b> when the last life is spent.</p>"
)
