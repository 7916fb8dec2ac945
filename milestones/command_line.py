"""The command line of a milestone: its options, and what it shows while it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from rich.progress import track

from tinytorch_datasets.errors import DatasetError

PICTURES = (".png", ".svg", ".pdf")
Step = TypeVar("Step")


def options(about: str, *, epochs: int, quick: int) -> argparse.Namespace:
    """Read `epochs`, `seed`, `quick` and `plot` from the command line; a wrong one ends the script, with a reason.

    Args:
        about: The script's docstring, for ``--help``.
        epochs: How often the training data is gone through by default.
        quick: And how often with ``--quick``.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=_count, metavar="N", help=f"passes over the data ({epochs}; quick: {quick})")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another start, another order (0)")
    parser.add_argument("--quick", action="store_true", help="a first impression, in a fraction of the time")
    parser.add_argument("--plot", type=_picture, metavar="FILE", help="save a picture of what was learned")
    asked = parser.parse_args()
    asked.epochs = asked.epochs or (quick if asked.quick else epochs)
    return asked


def ran(main: Callable[[], None]) -> None:
    """Run a script: what is wrong with its data is reported without a traceback, and Ctrl-C ends it quietly."""
    try:
        main()
    except DatasetError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(130)


def watched(steps: Iterable[Step], what: str, in_all: int | None = None) -> Iterable[Step]:
    """The same steps, under a bar that goes when they are done; on a terminal only.

    Args:
        steps: Such as epochs, or batches.
        what: Told before the bar.
        in_all: How many steps there are, where `steps` has no length.
    """
    # On stdout like what is printed meanwhile, which is then put above the bar instead of through it.
    return track(steps, what, total=in_all, transient=True, disable=not sys.stdout.isatty())


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"1 or more, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _picture(text: str) -> Path:
    # All of this now, and not after minutes of training.
    path = Path(text)
    if find_spec("matplotlib") is None:
        msg = "matplotlib draws it, and is not installed here: pip install matplotlib"
        raise argparse.ArgumentTypeError(msg)
    if path.suffix.lower() not in PICTURES:
        msg = f"{text!r} ends in none of {', '.join(PICTURES)}"
        raise argparse.ArgumentTypeError(msg)
    if not path.absolute().parent.is_dir():
        msg = f"there is no folder {path.absolute().parent}"
        raise argparse.ArgumentTypeError(msg)
    return path
