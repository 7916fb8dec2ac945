"""Recordings to look at and to hear: waveforms, and WAV files for a player.

NumPy alone is needed. Which values are sound is declared (the `rate` of their format's options), never guessed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

WIDTH, HEIGHT = 240, 28  # pixels of a waveform
COLOR = (76, 141, 208)  # which stands out from white and from black
BLOCKS = " ▁▂▃▄▅▆▇█"  # from nothing to all of a character, by eighths
HEADER_BYTES = 44
RATES = range(3_000, 768_001)  # frames a second that browsers play
MOST_CHANNELS = 8
LEAST_RATE = 4_000  # of what is made smaller: words can still be told apart


class Heard(NamedTuple):
    """A WAV file, and what of the recording it has in another way than it was recorded; "" for nothing."""

    file: bytes
    note: str


def is_sound(value: Any) -> bool:
    """Check whether a sample may be a recording: (frames,) or (frames, channels) of numbers."""
    return isinstance(value, np.ndarray) and value.ndim in (1, 2) and value.dtype.kind in "iuf"


def frames_of(value: np.ndarray) -> np.ndarray:
    """Return the frames of a recording, whichever axis has its channels: (frames, channels).

    >>> frames_of(np.zeros(4000)).shape, frames_of(np.zeros((2, 4000))).shape, frames_of(np.zeros((4000, 2))).shape
    ((4000, 1), (4000, 2), (4000, 2))
    """
    if value.ndim == 1:
        return value[:, np.newaxis]
    first, last = value.shape
    # No recording has as few frames, or as many channels.
    is_first = first == 1 != last or 1 <= first <= MOST_CHANNELS < last
    return value.T if is_first else value


def format_duration(value: np.ndarray, rate: int) -> str:
    """Format how long a recording is, and how many channels it has if those are several.

    >>> format_duration(np.zeros(4000), 8000), format_duration(np.zeros((160000, 2)), 8000)
    ('0.50 s', '20 s, 2 channels')
    """
    frames = frames_of(value)
    return format_seconds(len(frames), rate) + (f", {frames.shape[1]:,} channels" if frames.shape[1] != 1 else "")


def format_seconds(frames: int, rate: int) -> str:
    """Format so many frames as seconds."""
    seconds = frames / rate
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:,.0f} s"


def silence_and_loudest(values: Sequence[np.ndarray], span: Sequence[float] | None) -> tuple[float, float]:
    """Return the number that is silence, and how far from it the loudest can be: by range, by dtype, or as it is."""
    dtype: Any = np.result_type(*values) if values else np.dtype(np.float32)
    silence = 128.0 if dtype == np.uint8 else 0.0
    if span is not None:
        return silence, max(abs(span[0] - silence), abs(span[1] - silence)) or 1.0
    if dtype.kind in "iu" and dtype.itemsize < 4:
        return silence, float(np.iinfo(dtype).max) + 1 - silence
    # Of 32 bits some are whole numbers of 24; and nothing keeps floats below 1.
    return silence, max(peak(values, silence), 1.0 if dtype.kind == "f" else 0.0)


def peak(values: Sequence[np.ndarray], silence: float) -> float:
    """Return how far from silence the loudest number of some recordings is; of silence alone 1."""
    extremes = [pick.reduce(value, axis=None) for value in values if value.size for pick in (np.fmin, np.fmax)]
    far = np.abs(np.array(extremes, np.float64) - silence)
    return float(np.nan_to_num(far, nan=0, posinf=0).max(initial=0)) or 1.0


def _extremes(value: np.ndarray, columns: int, level: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest number of each column, -1 to 1, of all channels together."""
    frames, (silence, loudest) = frames_of(value), level
    if not frames.size:
        return np.zeros(columns), np.zeros(columns)
    starts = np.arange(columns) * len(frames) // columns  # of fewer frames than columns some stand for several
    low, high = (
        np.nan_to_num((pick.reduceat(pick.reduce(frames, axis=1), starts) - silence) / loudest, nan=0).clip(-1, 1)
        for pick in (np.fmin, np.fmax)
    )
    return low, high


def waveform(value: np.ndarray, level: tuple[float, float], *, height: int = HEIGHT) -> np.ndarray:
    """Return the waveform of a recording: (height, `WIDTH`, 4), uint8; around it nothing is drawn."""
    low, high = _extremes(value, WIDTH, level)
    joined_low, joined_high = low.copy(), high.copy()  # each column reaches the one before
    joined_low[1:] = np.minimum(low[1:], high[:-1])
    joined_high[1:] = np.maximum(high[1:], low[:-1])
    top, bottom = (((1 - edge) / 2 * (height - 1)).round() for edge in (joined_high, joined_low))
    rows = np.arange(height)[:, np.newaxis]
    pixels = np.zeros((height, WIDTH, 4), np.uint8)
    pixels[(rows >= top) & (rows <= bottom)] = (*COLOR, 255)
    return pixels


def block_lines(value: np.ndarray, level: tuple[float, float], columns: int, lines: int, blocks: str) -> list[str]:
    """Return how loud a recording is as lines of characters, each with more ink on it than the one before.

    >>> block_lines(np.array([0.0, 0.5, -1.0]), (0.0, 1.0), 3, 2, BLOCKS)
    ['  █', ' ██']
    """
    low, high = _extremes(value, columns, level)
    steps = len(blocks) - 1
    ink = (np.maximum(-low, high).clip(0) * lines * steps).round().astype(int)
    rows = (np.clip(ink - line * steps, 0, steps) for line in reversed(range(lines)))
    return ["".join(blocks[step] for step in row) for row in rows]


def is_playable(value: np.ndarray, rate: int) -> bool:
    """Check whether there is something to be heard, of a rate and of as many channels as browsers play."""
    frames = frames_of(value)
    return rate in RATES and 1 <= frames.shape[1] <= MOST_CHANNELS and len(frames) > 0


def whole(value: np.ndarray, rate: int, level: tuple[float, float], room: int) -> Heard | None:
    """Return as much from the beginning of a recording as fits into so many bytes; None where no browser plays it."""
    frames = frames_of(value)
    if not is_playable(value, rate):
        return None
    most = (room - HEADER_BYTES) // (frames.shape[1] * (1 if value.dtype == np.uint8 else 2))
    if most < 1:
        return None
    note = f"the first {format_seconds(most, rate)} of it" if most < len(frames) else ""
    return Heard(_wav(_stored(frames[:most], level), rate), note)


def shortened(value: np.ndarray, rate: int, level: tuple[float, float], room: int) -> Heard | None:
    """Return a whole recording in so many bytes: as it is; or one channel of 8 bits, of which means are taken.

    None where no browser plays it, or where too little of it would be left to be understood.
    """
    heard = whole(value, rate, level, room)
    if heard is None or not heard.note:
        return heard
    frames = frames_of(value)
    together = math.ceil(len(frames) / (room - HEADER_BYTES))
    slower = round(rate / together)
    if slower < max(LEAST_RATE, RATES.start):
        return None
    one = np.nan_to_num(frames.mean(axis=1, dtype=np.float64) - level[0], posinf=0, neginf=0)
    one = one[: len(one) // together * together].reshape(-1, together).mean(axis=1)
    loudest = np.abs(one).max(initial=0) or 1.0  # of 8 bits, all are used
    small = (one / loudest * 127 + 128).round().astype(np.uint8)[:, np.newaxis]
    note = f"one channel of 8 bits, {slower:,} frames a second, so that this page stays small"
    return Heard(_wav(small, slower), note)


def _stored(frames: np.ndarray, level: tuple[float, float]) -> np.ndarray:
    """Return frames as WAV has them: 8 bits around 128, or 16 around 0."""
    if frames.dtype in (np.uint8, np.int16):
        return frames
    silence, loudest = level
    share = np.nan_to_num((frames.astype(np.float64) - silence) / loudest, nan=0).clip(-1, 1)
    return (share * 32767).round().astype("<i2")


def _wav(frames: np.ndarray, rate: int) -> bytes:
    """Return a WAV file of whole numbers ("Multimedia Programming Interface and Data Specifications 1.0", 1991)."""
    channels, wide = frames.shape[1], frames.dtype.itemsize
    numbers = frames.astype(frames.dtype.newbyteorder("<"), copy=False).tobytes()
    kind = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * wide, channels * wide, 8 * wide)
    chunks = b"fmt " + struct.pack("<I", len(kind)) + kind + b"data" + struct.pack("<I", len(numbers)) + numbers
    chunks += b"\0" * (len(numbers) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
