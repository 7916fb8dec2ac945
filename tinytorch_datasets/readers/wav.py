"""WAV files: the numbers of a recording as they are stored, and their rate.

Sizes in a header may be wrong, because programs write it before they know how much will come. The numbers of a file
are taken only where what follows them shows where they end.

Source: "Multimedia Programming Interface and Data Specifications 1.0" (1991) for chunks and PCM, and "Multiple channel
audio data and WAVE files" (2007) for WAVE_FORMAT_EXTENSIBLE, both by Microsoft.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from tinytorch_datasets.readers.members import Member

RIFF_BYTES = 12
CHUNK_BYTES = 8

INTEGERS, FLOATS, EXTENSIBLE = 1, 3, 0xFFFE
# The last 14 bytes of the identifiers of kinds that have a number in the extensible form.
_OF_NUMBERED_KINDS = bytes.fromhex("000000001000800000aa00389b71")

_CODES = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "IMA ADPCM", 49: "GSM", 80: "MPEG", 85: "MP3"}
_DTYPES = {(INTEGERS, 8): "u1", (INTEGERS, 16): "<i2", (INTEGERS, 32): "<i4", (FLOATS, 32): "<f4", (FLOATS, 64): "<f8"}
AS_PCM = "Convert it to WAV with whole numbers of 16 bits, or leave it out: options: {skip: [...]}."

# What programs write as the size where they cannot go back to it: FFmpeg and most others, and SoX.
_UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFF000)


class Recording(NamedTuple):
    """What one file holds: frames as (frames, channels), frames a second, and how its numbers are stored.

    Whole numbers are as they are stored: those of 8 bits from 0 to 255, around 128; those of 24 bits as int32.
    """

    frames: np.ndarray
    rate: int
    stored: str


class _Kind(NamedTuple):
    """What the chunk `fmt ` says."""

    code: int
    channels: int
    rate: int
    bits: int


def is_wav(data: bytes) -> bool:
    """Check whether a file begins as one of the RIFF family that holds sound."""
    return data[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and data[8:12] == b"WAVE"


def read_wav(member: Member) -> Recording:
    """Return what a WAV file holds.

    Raises:
        DecodeError: It is damaged, or of a kind that is not read.
    """
    data = member.data
    if data[:4] != b"RIFF":
        name = {b"RIFX": "WAV in big-endian order"}.get(data[:4], f"{data[:4].decode()}, WAV of more than 4 GiB")
        member.fail(f"it is {name}, which is not read", hint=AS_PCM)
    kind, at = None, RIFF_BYTES
    while at < len(data):
        chunk, size = _chunk(member, at)
        at += CHUNK_BYTES
        if chunk == b"data":
            if kind is None:
                member.fail("its numbers come before the chunk that says what they are")
            return _recording(member, kind, at, at + _size(member, at, size))
        if at + size > len(data):
            member.fail(
                f"it ends inside its chunk {chunk.decode()!r}: {size:,} bytes expected, {len(data) - at:,} came"
            )
        if chunk == b"fmt ":
            if kind is not None:
                member.fail("it says twice what its numbers are")
            kind = _kind(member, data[at : at + size])
        at = _behind(data, at, size)
    return member.fail("it ends before its numbers")


def _chunk(member: Member, at: int) -> tuple[bytes, int]:
    if not _is_chunk(member.data, at):
        begun = member.data[at : at + CHUNK_BYTES]
        member.fail(f"at byte {at:,} it has no chunk, but {begun!r}")
    return struct.unpack_from("<4sI", member.data, at)


def _is_chunk(data: bytes, at: int) -> bool:
    return at + CHUNK_BYTES <= len(data) and data[at : at + 4].isascii() and data[at : at + 4].decode().isprintable()


def _behind(data: bytes, at: int, size: int) -> int:
    """Return where the next chunk begins: behind a byte more where a size is odd, which some programs leave out."""
    end = at + size
    return end + 1 if size % 2 and (data[end : end + 1] == b"\0" or not _is_chunk(data, end)) else end


def _kind(member: Member, chunk: bytes) -> _Kind:
    if len(chunk) < 16:
        member.fail(f"its chunk 'fmt ' has {len(chunk)} bytes, and 16 are needed")
    code, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    valid = bits
    if code == EXTENSIBLE:
        if len(chunk) < 40:
            member.fail(f"its chunk 'fmt ' has {len(chunk)} bytes, and its extensible form needs 40")
        valid = struct.unpack_from("<H", chunk, 18)[0] or bits
        code = struct.unpack_from("<H", chunk, 24)[0]
        if chunk[26:40] != _OF_NUMBERED_KINDS:
            member.fail("its numbers are of a kind that only the program that wrote them knows", hint=AS_PCM)
    if code not in (INTEGERS, FLOATS):
        member.fail(f"it is compressed, as {_CODES.get(code, f'kind {code:#06x}')}, which is not read", hint=AS_PCM)
    if (code, bits) not in (*_DTYPES, (INTEGERS, 24)) or valid > bits:
        what = "whole numbers" if code == INTEGERS else "floats"
        of = f"{bits}" if valid == bits else f"{valid} in {bits}"
        member.fail(f"it has {what} of {of} bits, which are not read", hint=AS_PCM)
    if not channels or not rate:
        member.fail(f"its header says {channels:,} channels, and {rate:,} frames a second")
    if frame_bytes != channels * bits // 8:
        member.fail(f"its header says {frame_bytes:,} bytes for {channels:,} channels of {bits} bits")
    return _Kind(code, channels, rate, bits)


def _size(member: Member, at: int, size: int) -> int:
    """Return how many bytes the numbers take, which begin at `at` and should be `size`.

    A program that could not go back has left 0 or the largest size there, and stopped at the end of the file.
    """
    data, left = member.data, len(member.data) - at
    if size in _UNKNOWN_SIZES and left < size:
        return left
    if size > left:
        member.fail(f"it ends inside its numbers: {size:,} bytes expected, {left:,} came")
    riff_end = CHUNK_BYTES + int(struct.unpack_from("<I", data, 4)[0])
    end = at + size
    if not size and left and riff_end <= at and not _is_all_chunks(data, at):
        return left
    # Where both sizes agree on the end, what follows is none of it, as for every other reader of WAV.
    if riff_end not in (end, end + size % 2) and not _is_all_chunks(data, _behind(data, at, size)):
        member.fail(f"{left - size:,} bytes follow its numbers, and are no chunks of other things")
    return size


def _is_all_chunks(data: bytes, at: int) -> bool:
    """Check whether the rest is chunks, none of them with more numbers, but for zeros at the very end."""
    while at < len(data):
        if not _is_chunk(data, at):
            return not any(data[at:]) and len(data) - at < CHUNK_BYTES
        name, size = struct.unpack_from("<4sI", data, at)
        if name in (b"data", b"fmt ") or at + CHUNK_BYTES + size > len(data):
            return False
        at = _behind(data, at + CHUNK_BYTES, size)
    return True


def _recording(member: Member, kind: _Kind, begin: int, end: int) -> Recording:
    frame_bytes = kind.channels * kind.bits // 8
    if (end - begin) % frame_bytes:
        member.fail(f"its numbers take {end - begin:,} bytes, and are in frames of {frame_bytes}")
    if kind.bits == 24:
        padded = np.zeros(((end - begin) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(member.data, np.uint8, end - begin, begin).reshape(-1, 3)
        numbers = padded.reshape(-1).view("<i4") >> 8
    else:
        dtype = np.dtype(_DTYPES[kind.code, kind.bits])
        numbers = np.frombuffer(member.data, dtype, (end - begin) // dtype.itemsize, begin)
    what = "whole numbers" if kind.code == INTEGERS else "floats"
    frames = numbers.astype(numbers.dtype.newbyteorder("="), copy=False).reshape(-1, kind.channels)
    return Recording(frames, kind.rate, f"{what} of {kind.bits} bits")
