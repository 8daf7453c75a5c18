"""A cross-play as one HTML page that needs nothing else: no server, no network, no other file.

Without JavaScript everything is shown one below the other; with it, setting and outcome are chosen
at the top (and kept in the address, as in ``crossplay.html#hanabi-3/points``), and tables sort by
any column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from marl.crossplay.cells import CrossplayConfig
from marl.crossplay.heatmap import colour, is_dark, labels, outcome
from marl.crossplay.matrix import LEVEL, RESAMPLES, AgentFigures, CellFigures, Estimate, Matrix


def render(config: CrossplayConfig, matrices: Sequence[Matrix], tops: Sequence[float]) -> str:
    """The page, the same text for the same figures.

    Args:
        config: what was played.
        matrices: one a setting.
        tops: of each, the score of a perfect game, where the colour scale ends.
    """
    tabs = "".join(
        f'<button type="button" data-setting="{m.setting.slug}">{escape(m.setting.name)}</button>'
        for m in matrices
    )
    rules = "".join(
        f'<button type="button" data-rule="{rule}">{outcome(rule)}</button>'
        for rule in dict.fromkeys(rule for m in matrices for rule in m.rules)
    )
    about = (
        f"{escape(', '.join(config.settings))} · {len(config.agents)} agents · "
        f"{config.games} games a cell · seed {config.seed}"
    )
    sections = "\n".join(_section(*one) for one in zip(matrices, tops, strict=True))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cross-play: {escape(", ".join(labels(config.agents)))}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>Cross-play</h1>
<p class="about">{about}</p>
<nav><span class="choice">{tabs}</span><span class="choice">{rules}</span></nav>
</header>
<main>
{sections}
</main>
<footer>{_FOOTER}</footer>
<script>{_SCRIPT}</script>
</body>
</html>
"""


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
    values = _under_each(
        {
            rule: f"<strong>{e.mean:.2f}</strong> <small>{e.low:.2f} to {e.high:.2f}</small>"
            for rule, e in estimates.items()
        }
    )
    return f'<div class="card"><span>{name}</span>{values}</div>'


def _under_each(texts: Mapping[str, str]) -> str:
    """The same under every outcome, of which the page shows the chosen one."""
    return "".join(
        f'<span class="rule" data-rule="{rule}">{text}</span>' for rule, text in texts.items()
    )


def _heat_map(matrix: Matrix, names: Sequence[str], top: float) -> str:
    heads = "".join(f'<th scope="col"><div>{name}</div></th>' for name in names)
    tables = []
    for rule in matrix.rules:
        rows = []
        for guest, name in enumerate(names):
            tiles = [_tile(matrix, guest, hosts, rule, names, top) for hosts in range(len(names))]
            mean = matrix.agents[guest].cross_play
            tiles.append(_shade(None if mean is None else mean[rule], top, "cross-play"))
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
    return _shade(e, top, about, "own" if guest == hosts else "")


def _lost(figures: CellFigures) -> str:
    return "" if figures.lost_share is None else f"{figures.lost_share:.1%} lost, "


def _shade(estimate: Estimate | None, top: float, about: str, kind: str = "apart") -> str:
    if estimate is None:
        return f'<td class="unable {kind}">–</td>'
    rgb = colour(estimate.mean / top)
    ink = "#fff" if is_dark(rgb) else "#1d2530"
    error = f"<small>±{estimate.error:.2f}</small>" if estimate.error else ""
    return (
        f'<td class="{kind}" style="background:rgb{rgb};color:{ink}" title="{about}">'
        f"{estimate.mean:.1f}{error}</td>"
    )


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
        tables.append(_table(["agent", *columns], rows, rule))
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
        tables.append(_table(heads, rows, rule))
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


def _table(heads: Sequence[str], rows: Sequence[str], rule: str) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<table class="list sortable rule" data-rule="{rule}"><caption>{outcome(rule)}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
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

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5b6672; --paper: #ffffff;
  --card: #f4f6f8; --line: #d9dfe5; --accent: #1f6f8b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf2; --soft: #9aa6b2; --paper: #12171d;
  --card: #1c232b; --line: #323c47; --accent: #63b8cf; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; } h2 { margin: 1.6rem 0 .6rem; } h3 { margin: 1.6rem 0 .4rem; }
.about, footer, caption { color: var(--soft); } .about { margin: .2rem 0 1rem; }
nav { display: none; gap: 1rem; flex-wrap: wrap; } .live nav { display: flex; }
.choice { display: inline-flex; border: 1px solid var(--line); border-radius: .5rem;
  overflow: hidden; }
button { border: 0; padding: .4rem .9rem; background: var(--card); color: var(--ink);
  font: inherit; cursor: pointer; } button + button { border-left: 1px solid var(--line); }
button[aria-pressed=true] { background: var(--accent); color: var(--paper); font-weight: 600; }
.cards { display: flex; gap: .8rem; flex-wrap: wrap; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .6rem 1rem; min-width: 11rem; }
.card > span { display: block; color: var(--soft); } .card strong { color: var(--ink);
  font-size: 1.5rem; }
small { color: var(--soft); font-size: .75em; }
.scroll { overflow-x: auto; } table { border-collapse: separate; border-spacing: 2px; }
caption { caption-side: bottom; text-align: left; padding-top: .3rem; font-size: .85em; }
th { font-weight: 500; text-align: left; }
.heat td { width: 3.7rem; height: 3rem; text-align: center; border-radius: 3px;
  font-variant-numeric: tabular-nums; line-height: 1.15; }
.heat td small { display: block; color: inherit; opacity: .8; }
.heat thead th { vertical-align: bottom; height: 9rem; padding: 0; }
.heat thead th div { writing-mode: vertical-rl; transform: rotate(180deg); margin: 0 auto;
  white-space: nowrap; max-height: 12rem; }
.heat th[scope=row] { white-space: nowrap; padding-right: .6rem; text-align: right; }
.heat .corner { vertical-align: bottom; color: var(--soft); padding-right: .6rem;
  text-align: right; white-space: nowrap; font-size: .85em; }
.heat .own { box-shadow: inset 0 0 0 2px var(--paper), 0 0 0 2px var(--ink); font-weight: 700; }
.heat .apart { border-left: .6rem solid var(--paper); }
.unable { color: var(--soft); font-size: .75rem; background: repeating-linear-gradient(135deg,
  var(--card) 0 6px, var(--line) 6px 8px); }
.list { border-spacing: 0; } .list th, .list td { padding: .3rem .9rem .3rem 0;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
.list thead th { color: var(--soft); } .live .sortable thead th { cursor: pointer; }
th[aria-sort=ascending]::after { content: " ▲"; } th[aria-sort=descending]::after { content: " ▼"; }
summary { margin: 1.2rem 0 .4rem; cursor: pointer; font-weight: 600; }
.live section:not(.shown) { display: none; }
.live .rule:not(.on) { display: none; }
footer { border-top: 1px solid var(--line); margin-top: 2rem; font-size: .9em; }
@media print { nav { display: none !important; } }
"""

_SCRIPT = """
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const settings = all("section").map((section) => section.dataset.setting);
  const rules = all("nav [data-rule]").map((button) => button.dataset.rule);
  const show = () => {
    const [setting, rule] = location.hash.slice(1).split("/");
    const chosen = {
      setting: settings.includes(setting) ? setting : settings[0],
      rule: rules.includes(rule) ? rule : rules[0],
    };
    for (const section of all("section")) {
      section.classList.toggle("shown", section.dataset.setting === chosen.setting);
      // A setting without the chosen outcome shows its headline.
      const here = section.dataset.rules.split(" ");
      const on = here.includes(chosen.rule) ? chosen.rule : here[0];
      for (const part of all(".rule", section))
        part.classList.toggle("on", part.dataset.rule === on);
    }
    for (const button of all("nav button")) {
      const [kind] = Object.keys(button.dataset);
      button.setAttribute("aria-pressed", button.dataset[kind] === chosen[kind]);
      const next = { ...chosen, [kind]: button.dataset[kind] };
      button.onclick = () => { location.hash = next.setting + "/" + next.rule; };
    }
  };
  const key = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
  };
  const sort = (table, head) => {
    const numbers = "value" in (table.tBodies[0].rows[0]?.cells[head.cellIndex].dataset ?? {});
    const before = head.getAttribute("aria-sort");
    const down = before ? before === "ascending" : numbers;
    all("th", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const compare = (a, b) => numbers ? a - b : a.localeCompare(b);
    const rows = [...table.tBodies[0].rows].sort((a, b) =>
      compare(key(a, head.cellIndex), key(b, head.cellIndex)) * (down ? -1 : 1));
    table.tBodies[0].append(...rows);
  };
  for (const table of all(".sortable"))
    for (const head of all("thead th", table)) {
      head.tabIndex = 0;
      head.onclick = () => sort(table, head);
      head.onkeydown = (event) => { if (event.key === "Enter") sort(table, head); };
    }
  window.onhashchange = show;
  document.documentElement.classList.add("live");
  show();
})();
"""
