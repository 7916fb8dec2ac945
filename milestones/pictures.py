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
TILES = 40  # test images in a picture, in five rows


def classified(
    path: Path,
    title: str,
    accuracies: Sequence[float],
    images: np.ndarray,
    labels: np.ndarray,
    guesses: np.ndarray,
    classes: Sequence[str],
    *,
    compared: Mapping[str, float] | None = None,
) -> None:
    """Draw test accuracy by epoch beside 40 of the test images, each with its guess: misses first.

    Three fifths of them at most are misses, so that some of what was right is there. `compared` holds other models'
    accuracies.
    """
    figure = _figure(title)
    left, right = figure.subfigures(1, 2, width_ratios=[2, 3])
    axes = left.subplots()
    curve(axes, "test accuracy", {"": accuracies}, levels=compared)
    chance = 1 / len(classes)
    axes.set(ylim=(chance, 1), yticks=[chance, *np.arange(0.2, 1.01, 0.2)])
    axes.yaxis.set_major_formatter(lambda value, _: "chance" if value == chance else f"{100 * value:.0f} %")

    wrong, correct = np.flatnonzero(guesses != labels), np.flatnonzero(guesses == labels)
    few = wrong[: max(TILES * 3 // 5, TILES - len(correct))]
    right.suptitle(f'{len(wrong):,} of {len(labels):,} are misses; misses first, as "guess (truth)"', fontsize=9)
    cells = right.subplots(5, TILES // 5).ravel()
    for cell in cells:
        cell.axis("off")
    for cell, place in zip(cells, [*few, *correct[: TILES - len(few)]], strict=False):
        image, guess, label = images[place], guesses[place], labels[place]
        color = image.ndim == 3
        cell.imshow(np.moveaxis(image, 0, -1) if color else image, cmap=None if color else "gray_r")
        caption = classes[guess] if guess == label else f"{classes[guess]} ({classes[label]})"
        size = 7 if len(caption) < 12 else 5
        cell.set_title(caption, color=INK if guess == label else WRONG, fontsize=size, pad=2)
    figure.savefig(path)


def losses(
    path: Path,
    title: str,
    curves: Mapping[str, Sequence[float]],
    *,
    compared: Mapping[str, float],
    right: Mapping[str, Sequence[float]],
) -> None:
    """Draw losses by epoch beside the share of right characters in answers, level by level from 1."""
    figure = _figure(title)
    by_epoch, by_level = figure.subplots(1, 2, width_ratios=[3, 2])
    curve(by_epoch, "loss per character, in nats", curves, levels=compared)
    by_epoch.set_ylim(bottom=0)
    wide = 0.8 / len(right)
    for place, (name, shares) in enumerate(right.items()):
        at = np.arange(1, len(shares) + 1) + wide * (place - (len(right) - 1) / 2)
        bars = by_level.bar(at, [100 * share for share in shares], 0.9 * wide, label=name, color=COLORS[place])
        by_level.bar_label(bars, fmt="%.0f", fontsize=6)
    by_level.set(xlabel="level", ylabel="right characters of answers, in %", ylim=(0, 119), yticks=range(0, 101, 20))
    by_level.legend(frameon=False, fontsize=8, loc="upper center", ncols=len(right))
    by_level.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def curve(
    axes: Axes, measure: str, curves: Mapping[str, Sequence[float]], *, levels: Mapping[str, float] | None = None
) -> None:
    """Draw one line for each of the curves, and a dashed one for each level they are compared to."""
    for (name, values), color in zip(curves.items(), COLORS, strict=False):
        epochs = range(1, len(values) + 1)
        marker = "." if len(values) < 20 else None
        axes.plot(epochs, values, color=color, marker=marker, label=name or None, clip_on=False)
    for name, value in (levels or {}).items():
        axes.axhline(value, color=INK, linestyle="--", linewidth=1)
        axes.annotate(name, (1, value), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                      ha="right", fontsize=8, color=INK)  # fmt: skip
    axes.set(xlabel="epoch", ylabel=measure, xlim=(1, max(2, *map(len, curves.values()))))
    axes.xaxis.get_major_locator().set_params(integer=True)  # there is no half an epoch
    axes.spines[["top", "right"]].set_visible(False)
    if any(curves):
        axes.legend(frameon=False, fontsize=8)


def _figure(title: str) -> Figure:
    # A Figure of its own, not pyplot's: nothing opens a window, and nothing stays in memory.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=10)
    return figure
