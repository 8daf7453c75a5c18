"""Points with partners never met, to look at: an HTML page, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from marl.crossplay.adhoc import Adhoc, Average, Meeting
from marl.crossplay.heatmap import INK, PAPER, labels, outcome, tile
from marl.crossplay.matrix import LEVEL, RESAMPLES, Estimate
from marl.crossplay.partners import GUEST
from marl.crossplay.sheet import listing, page, shade

TOP = 25.0
"""Points of a perfect game, where colours end."""

Panel = tuple[str, str]
"""A setting and a role."""


def panels(found: Adhoc) -> list[Panel]:
    """What was played, in order."""
    return list(dict.fromkeys((m.setting, m.role) for m in found.meetings))


def render(found: Adhoc) -> str:
    """The page, the same text for the same figures."""
    agents = list(dict.fromkeys(m.agent for m in found.meetings))
    rules = list(dict.fromkeys(rule for m in found.meetings for rule in m.scores))
    return page(
        "Partners never met",
        f"Partners never met: {', '.join(labels(agents))}",
        f"part {escape(found.part)} of the split · {found.games} games with each partner · "
        f"seed {found.seed}",
        {_slug(one): _title(one) for one in panels(found)},
        rules,
        [_section(found, one, rules) for one in panels(found)],
        _FOOTER,
    )


def _slug(panel: Panel) -> str:
    return f"{panel[0]}-{panel[1]}".replace(":", "-").replace("@", "-")


def _title(panel: Panel) -> str:
    setting, role = panel
    return f"{setting}, {'one guest' if role == GUEST else 'several hosts'}"


def _section(found: Adhoc, panel: Panel, rules: Sequence[str]) -> str:
    meetings = [m for m in found.meetings if (m.setting, m.role) == panel]
    averages = [a for a in found.averages if (a.setting, a.role) == panel]
    maps = "".join(_heat_map(meetings, averages, rule) for rule in rules)
    lists = "".join(
        listing(
            ["agent", "partner", "mean", "95 % interval", "lost", "of the best", "best response"],
            [_row(m, rule) for m in meetings],
            rule,
        )
        for rule in rules
    )
    slug = _slug(panel)
    return f"""<section id="{slug}" data-setting="{slug}" data-rules="{" ".join(rules)}">
<h2>{escape(_title(panel))}</h2>
<p>Below each mean: its share of the best response that is known. * met in training, or itself: not
in the means.</p>
<div class="scroll">{maps}</div>
<details><summary>All meetings</summary><div class="scroll">{lists}</div></details>
</section>"""


def _heat_map(meetings: Sequence[Meeting], averages: Sequence[Average], rule: str) -> str:
    partners = list(dict.fromkeys((m.partner, m.kind) for m in meetings))
    kinds = list(dict.fromkeys(kind for _, kind in partners))
    columns = [_short(name) for name, _ in partners] + [f"mean, {kind}" for kind in kinds]
    agents = list(dict.fromkeys(m.agent for m in meetings))
    heads = "".join(f'<th scope="col"><div>{escape(name)}</div></th>' for name in columns)
    rows = []
    for agent, label in zip(agents, labels([_short(a) for a in agents]), strict=True):
        mine = {m.partner: m for m in meetings if m.agent == agent}
        tiles = [_tile(mine[name], rule) for name, _ in partners]
        means = {a.kind: a for a in averages if a.agent == agent}
        tiles += [_mean_tile(means[kind], rule) for kind in kinds]
        rows.append(f'<tr><th scope="row">{escape(label)}</th>{"".join(tiles)}</tr>')
    return (
        f'<table class="heat rule" data-rule="{rule}"><caption>{outcome(rule)}</caption>'
        f'<thead><tr><th class="corner">agent \\ partner</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _tile(meeting: Meeting, rule: str) -> str:
    e = meeting.scores[rule]
    about = (
        f"{meeting.agent} with {meeting.partner}: {e.mean:.2f} ({e.low:.2f} to {e.high:.2f}), "
        f"{_lost(meeting.lost_share)} lost"
    )
    mark = "*" if meeting.met else ""
    return shade(e, TOP, escape(about), "own" if meeting.met else "", _share(meeting.share) + mark)


def _mean_tile(average: Average, rule: str) -> str:
    e = None if average.scores is None else average.scores[rule]
    about = f"{average.partners} partners, {_lost(average.lost_share)} lost"
    return shade(e, TOP, about, below=_share(average.share))


def _row(meeting: Meeting, rule: str) -> str:
    e = meeting.scores[rule]
    best = "-" if meeting.best is None else f"{_short(meeting.best)}, {meeting.best_score:.1f}"
    return (
        f"<tr><th>{escape(_short(meeting.agent))}</th><th>{escape(_short(meeting.partner))}"
        f'{"*" if meeting.met else ""}</th><td data-value="{e.mean:.6f}">{e.mean:.2f}</td>'
        f'<td data-value="{e.high - e.low:.6f}">{e.low:.2f} to {e.high:.2f}</td>'
        f'<td data-value="{meeting.lost_share or 0:.6f}">{_lost(meeting.lost_share)}</td>'
        f'<td data-value="{meeting.share or 0:.6f}">{_share(meeting.share) or "-"}</td>'
        f"<td>{escape(best)}</td></tr>"
    )


def _short(name: str) -> str:
    return name.removeprefix("bot:")


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _lost(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def draw(path: Path, found: Adhoc) -> None:
    """Draws all scores, a panel for each setting and role, the same bytes for the same figures.

    Args:
        path: of the file, whose folder must be there; its ending says what is written.
        found: what to draw, by its headline.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = panels(found)
    agents = list(dict.fromkeys(m.agent for m in found.meetings))
    partners = list(dict.fromkeys((m.partner, m.kind) for m in found.meetings))
    kinds = list(dict.fromkeys(kind for _, kind in partners))
    columns = [_short(name) for name, _ in partners] + [f"mean, {kind}" for kind in kinds]
    size = 0.62  # inches, of a tile
    figure, axes = plt.subplots(
        len(shown), 1, squeeze=False,
        figsize=(size * (len(columns) + 3), size * (len(agents) * len(shown) + len(shown) + 3)),
    )  # fmt: skip
    for row, panel in enumerate(shown):
        ax = axes[row, 0]
        for y, agent in enumerate(agents):
            mine = [m for m in found.meetings if (m.setting, m.role, m.agent) == (*panel, agent)]
            means = [a for a in found.averages if (a.setting, a.role, a.agent) == (*panel, agent)]
            for x, meeting in enumerate(mine):
                tile(ax, x, y, _headline(meeting.scores), TOP, bold=meeting.met)
            for x, mean in enumerate(means, len(mine)):
                tile(ax, x + 0.3, y, _headline(mean.scores), TOP)
        ax.set_title(_title(panel), loc="left", fontsize=11, fontweight="bold", color=INK)
        ax.set_aspect("equal")
        ax.set_xlim(-0.5, len(columns) - 0.1)
        ax.set_ylim(len(agents) - 0.5, -0.5)
        ax.set_yticks(range(len(agents)), labels([_short(agent) for agent in agents]))
        at = [x + 0.3 * (x >= len(partners)) for x in range(len(columns))]
        last = row == len(shown) - 1
        ax.set_xticks(at, columns if last else [], rotation=40, ha="right", rotation_mode="anchor")
        ax.tick_params(length=0, labelsize=9, colors=INK)
        ax.spines[:].set_visible(False)
    rule = next(iter(found.meetings[0].scores))
    axes[-1, 0].set_xlabel(
        f"mean {outcome(rule)}; {found.games} games with each partner; ± one standard error\n"
        "framed: met in training, or itself, and not in the mean",
        fontsize=8.5, color=INK, loc="left",
    )  # fmt: skip
    figure.tight_layout()
    metadata = {"Software": None} if path.suffix == ".png" else None
    figure.savefig(path, dpi=130, facecolor=PAPER, bbox_inches="tight", metadata=metadata)
    plt.close(figure)


def _headline(scores: object) -> Estimate | None:
    return next(iter(scores.values())) if isinstance(scores, dict) and scores else None


_FOOTER = (
    "<p>A <b>guest</b> holds one seat and one partner all others; <b>hosts</b> hold all seats but "
    "one. Rule lists and conventions are averaged apart, every partner weighing the same; the "
    "random lists are one partner, another list from game to game. The <b>best response</b> is the "
    "best known beside a partner: itself, a rule-based player, or a run dedicated to it.</p>"
    f"<p>Intervals hold {LEVEL:.0%} of {RESAMPLES} bootstrap means over deals, those of the random "
    "lists over lists.</p>"
)
