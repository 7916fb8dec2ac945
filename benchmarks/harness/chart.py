"""The chart of the results. Needs matplotlib, from the `bench` extra."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from harness.entrants import ENTRANTS
from harness.lines import NAMES
from harness.report import Results, duration

OURS, HAND, OTHER = "#b3460b", "#444444", "#9fb4c7"
KINDS = {"warm": "on disk already", "cold": "fetched from a loopback server"}
COLORS = 64  # so few that the file stays small, enough for smooth letters


def draw(results: Results, target: Path) -> None:
    """Bars of every contestant's shortest time, a panel for each data set, warm and cold."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from PIL import Image

    panels = [(kind, dataset) for kind in KINDS for dataset in NAMES if f"{kind}-{dataset}" in results["lines"]]
    columns = len({dataset for _, dataset in panels})
    rows = -(-len(panels) // columns)
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(rows, columns, figsize=(10, 2.5 * rows), squeeze=False, layout="constrained")
        for axis, (kind, dataset) in zip(axes.flat, panels, strict=False):
            _bars(axis, results["lines"][f"{kind}-{dataset}"]["cells"])
            axis.set_title(f"{NAMES[dataset]}, {KINDS[kind]}", loc="left", fontsize=9, fontweight="bold")
        figure.suptitle(
            "From the start of a fresh process to the first batch of 128, the shortest of all runs; shorter is better",
            fontsize=10,
        )
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=110)
        plt.close(figure)
    # Pillow comes with matplotlib.
    Image.open(drawn).convert("RGB").quantize(COLORS).save(target, optimize=True)


def _bars(axis: Any, cells: dict[str, Any]) -> None:
    ordered = sorted(cells.items(), key=lambda item: item[1]["least_s"], reverse=True)
    colors = [{"ours": OURS, "reference": HAND}.get(role, OTHER) for role, _ in ordered]
    took = [cell["least_s"] for _, cell in ordered]
    bars = axis.barh([ENTRANTS[cell["entrant"]].title for _, cell in ordered], took, color=colors, height=0.7)
    axis.bar_label(bars, [duration(each) for each in took], padding=3)
    axis.set_xlim(0, 1.16 * max(took))
    axis.xaxis.set_visible(False)
    axis.spines["bottom"].set_visible(False)
    axis.tick_params(left=False)
