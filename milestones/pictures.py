"""Pictures: learning curves, and test images with what the model took them for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, WRONG = "#222222", "#c8452f"
COLORS = ("#1f6fb2", "#c8452f", "#777777")


def classified(
    path: Path,
    title: str,
    accuracies: Sequence[float],
    images: np.ndarray,
    labels: Sequence[int],
    predictions: Sequence[int],
    classes: Sequence[str],
    *,
    compared: Mapping[str, float] | None = None,
) -> None:
    """Draw test accuracy by epoch beside the first 40 test images, each with its prediction.

    A wrong one is in another color, with the truth in brackets. `compared` holds other models' accuracies.
    """
    figure = _figure(title)
    left, right = figure.subfigures(1, 2, width_ratios=[2, 3])
    axes = left.subplots()
    curve(axes, "test accuracy", {"": accuracies}, levels=compared)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    for cell, image, label, guess in zip(
        right.subplots(5, 8).flat, images[:40], labels[:40], predictions[:40], strict=True
    ):
        color = image.ndim == 3
        cell.imshow(np.moveaxis(image, 0, -1) if color else image, cmap=None if color else "gray_r")
        cell.axis("off")
        title = classes[guess] if guess == label else f"{classes[guess]} ({classes[label]})"
        cell.set_title(title, color=INK if guess == label else WRONG, fontsize=6 if len(title) < 12 else 4.5, pad=2)
    figure.savefig(path)


def losses(
    path: Path,
    title: str,
    curves: Mapping[str, Sequence[float]],
    *,
    compared: Mapping[str, float],
    exact: Mapping[str, Sequence[float]],
) -> None:
    """Draw losses by epoch beside the share of answers that are exact, level by level from 1."""
    figure = _figure(title)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    curve(left, "loss per character, in nats", curves, levels=compared)
    wide = 0.8 / len(exact)
    for place, (name, shares) in enumerate(exact.items()):
        at = np.arange(1, len(shares) + 1) + wide * (place - (len(exact) - 1) / 2)
        bars = right.bar(at, [100 * share for share in shares], 0.9 * wide, label=name, color=COLORS[place])
        right.bar_label(bars, fmt="%.0f", fontsize=6)
    right.set(xlabel="level", ylabel="answers exact, in %", ylim=(0, 119), yticks=range(0, 101, 20))
    right.legend(frameon=False, fontsize=8, loc="upper center", ncols=len(exact))
    right.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def curve(
    axes: Axes, measure: str, curves: Mapping[str, Sequence[float]], *, levels: Mapping[str, float] | None = None
) -> None:
    """Draw one line for each of the curves, and a dashed one for each level they are compared to."""
    for (name, values), color in zip(curves.items(), COLORS, strict=False):
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, color=color, marker="." if len(values) < 20 else None, label=name or None)
    for name, value in (levels or {}).items():
        axes.axhline(value, color=INK, linestyle="--", linewidth=1)
        axes.annotate(name, (1, value), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                      ha="right", fontsize=8, color=INK)  # fmt: skip
    axes.set(xlabel="epoch", ylabel=measure)
    axes.spines[["top", "right"]].set_visible(False)
    if any(curves):
        axes.legend(frameon=False, fontsize=8)


def _figure(title: str) -> Figure:
    # A Figure of its own, not pyplot's: nothing opens a window, and nothing stays in memory.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=10)
    return figure
