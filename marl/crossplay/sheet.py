"""A page of tables that needs nothing else: no server, no network, no other file.

Without JavaScript everything is shown one below the other; with it, setting and outcome are chosen
at the top (and kept in the address, as in ``crossplay.html#hanabi-3/points``), and tables sort by
any column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from marl.crossplay.heatmap import colour, is_dark, outcome
from marl.crossplay.matrix import Estimate


def page(
    heading: str,
    title: str,
    about: str,
    settings: Mapping[str, str],
    rules: Sequence[str],
    sections: Sequence[str],
    footer: str,
) -> str:
    """The page.

    Args:
        heading: at the top.
        title: of the window.
        about: one line below the heading, as HTML.
        settings: what can be chosen, by the ``data-setting`` of its sections.
        rules: outcomes, of which one is shown at a time.
        sections: HTML, each a ``section`` with ``data-setting`` and ``data-rules``.
        footer: HTML.
    """
    tabs = "".join(
        f'<button type="button" data-setting="{slug}">{escape(name)}</button>'
        for slug, name in settings.items()
    )
    outcomes = "".join(
        f'<button type="button" data-rule="{rule}">{outcome(rule)}</button>' for rule in rules
    )
    body = "\n".join(sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(heading)}</h1>
<p class="about">{about}</p>
<nav><span class="choice">{tabs}</span><span class="choice">{outcomes}</span></nav>
</header>
<main>
{body}
</main>
<footer>{footer}</footer>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def under_each(texts: Mapping[str, str]) -> str:
    """The same under every outcome, of which the page shows the chosen one."""
    return "".join(
        f'<span class="rule" data-rule="{rule}">{text}</span>' for rule, text in texts.items()
    )


def shade(
    estimate: Estimate | None, top: float, about: str, kind: str = "apart", below: str = ""
) -> str:
    """A tile of a heat map.

    Args:
        estimate: its figure; None for an empty tile.
        top: score at which the colours end.
        about: HTML text that is shown where the mouse rests.
        kind: class of the tile.
        below: a line below the figure, as HTML; its standard error if empty.
    """
    if estimate is None:
        return f'<td class="unable {kind}">–</td>'
    rgb = colour(estimate.mean / top)
    ink = "#fff" if is_dark(rgb) else "#1d2530"
    if not below and estimate.error:
        below = f"±{estimate.error:.2f}"
    small = f"<small>{below}</small>" if below else ""
    return (
        f'<td class="{kind}" style="background:rgb{rgb};color:{ink}" title="{about}">'
        f"{estimate.mean:.1f}{small}</td>"
    )


def listing(heads: Sequence[str], rows: Sequence[str], rule: str) -> str:
    """A table that sorts by any column, of rows of HTML."""
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<table class="list sortable rule" data-rule="{rule}"><caption>{outcome(rule)}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
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
