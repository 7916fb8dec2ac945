"""How does an answer reach whoever asked, whatever is in it, and whether they still listen?"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import click

from tinytorch_datasets.errors import StorageError


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Write to stdout, or to stderr.

    Once the reader (head, less) has seen enough, nobody hears the rest; what is being done is done all the same, and
    ends as it would have.

    Raises:
        StorageError: It goes to a file, and the disk is full.
    """
    stream = sys.stderr if err else sys.stdout
    try:
        try:
            click.echo(text, err=err, nl=nl)
        except UnicodeEncodeError:  # an old terminal, or a file's name that is no text
            encoding = stream.encoding or "ascii"
            click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err, nl=nl)
    except BrokenPipeError:
        _deafen(stream)
    except OSError as error:
        _deafen(stream)
        what = f"{'stderr' if err else 'stdout'} cannot be written: {error.strerror}"
        raise StorageError(what, mend="Make room, or send it elsewhere.", path=Path(stream.name)) from error


def say_json(value: Any) -> None:
    """Write plain values to stdout as JSON."""
    say(as_json(value))


def as_json(value: Any) -> str:
    """Plain values as JSON that every reader takes: numbers it has no words for are told as strings.

    >>> print(as_json({"found": math.nan}))
    {
      "found": "nan"
    }
    """
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _deafen(stream: TextIO) -> None:
    """Let what is still written go nowhere: Python would complain of it once more at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
