"""Recordings: WAV as its numbers are stored; FLAC, Ogg and MP3 by soundfile.

Sizes in a header of WAV may be wrong, because programs write it before they know how much will come. The numbers of a
file are taken only where what follows them shows where they end.

Source: "Multimedia Programming Interface and Data Specifications 1.0" (1991) for chunks and PCM, and "Multiple channel
audio data and WAVE files" (2007) for WAVE_FORMAT_EXTENSIBLE, both by Microsoft.

soundfile is a library of many formats, most of which no data set needs: only files that begin as those three do are
given to it, and what it takes them for is compared.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import struct
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets.errors import MissingLibrary
from tinytorch_datasets.readers.archives.members import Member

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

FORM = "audio"
LIBRARY = ("soundfile", "audio")
ENDINGS = (".flac", ".ogg", ".oga", ".opus", ".mp3")

# How its numbers come: in the dtype that they are read in, of which the lowest bits are zeros and are cut.
_SUBTYPES = {
    "PCM_S8": ("int16", 8, "int8", "whole numbers of 8 bits with a sign"),
    "PCM_16": ("int16", 0, "int16", "whole numbers of 16 bits"),
    "PCM_24": ("int32", 8, "int32", "whole numbers of 24 bits"),
}
_FLOATS = ("float32", 0, "float32", "floats of 32 bits")

# Sound shrinks to a hundredth at best, and silence further. What more comes of a byte is refused.
INFLATION = 1024
SMALL_SOUND = 1 << 20

# From here on, a number of frames means that it is not known.
UNKNOWN = 1 << 62


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


def kind_of_sound(data: bytes) -> str | None:
    """Return what a file begins as: FLAC, OGG or MP3; or None."""
    if data.startswith(b"fLaC"):
        return "FLAC"
    if data.startswith(b"OggS"):
        return "OGG"
    is_mp3 = data.startswith(b"ID3") or (len(data) > 2 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0)
    return "MP3" if is_mp3 else None


def read_compressed(member: Member, kind: str) -> Recording:
    """Return what a file of that kind holds.

    Whole numbers of FLAC are as they are stored, those of 24 bits as int32; others are floats from -1 to 1.

    Raises:
        MissingLibrary: soundfile is not installed.
        DecodeError: It is damaged, or comes to far more than its bytes.
    """
    if importlib.util.find_spec(LIBRARY[0]) is None:
        needing = f"format {FORM!r}"
        raise MissingLibrary(needing, *LIBRARY)
    import soundfile

    if kind == "OGG" and not _has_last_page(member.data):
        member.fail("it ends before its last page")
    try:
        with soundfile.SoundFile(io.BytesIO(member.data)) as sound:
            if sound.format != kind:
                member.fail(f"it begins as {kind}, and is {sound.format}")
            kept = _SUBTYPES.get(sound.subtype, None if kind == "FLAC" else _FLOATS)
            if kept is None:
                member.fail(f"it has numbers of the kind {sound.subtype}, which is not read")
            read_as, shift, dtype, stored = kept
            frames = _frames(member, sound, read_as)
            whole = (frames >> shift).astype(dtype) if shift else frames
            if kind == "FLAC" and not _is_of_its_md5(member.data, whole, read_as, shift):
                member.fail("its numbers are not those that its header has the MD5 of")
            return Recording(whole, int(sound.samplerate), stored)
    except soundfile.SoundFileRuntimeError as error:
        return member.fail(f"it is no {kind} that can be read: {getattr(error, 'error_string', error)}")


def _frames(member: Member, sound: Any, dtype: str) -> np.ndarray:
    """Return all frames. They are read at once: soundfile seeks after each part, and MP3 has no exact places."""
    if not 0 < sound.frames < UNKNOWN:
        member.fail("its header does not say how many frames it has", hint=AS_PCM)
    limit = INFLATION * len(member.data) + SMALL_SOUND
    if sound.frames * sound.channels * np.dtype(dtype).itemsize > limit:
        size = f"{sound.channels} x {sound.frames:,}"
        member.fail(f"its header says {size} numbers, which are more than {len(member.data):,} bytes come to")
    sound.seek(0)  # as soundfile.read does, whose last bits are others without it
    frames: np.ndarray = sound.read(dtype=dtype, always_2d=True)
    if len(frames) != sound.frames:
        member.fail(f"it ends after {len(frames):,} of {sound.frames:,} frames")
    return frames


def _has_last_page(data: bytes) -> bool:
    """Check whether the last page of an Ogg file is there whole, and is said to be the last."""
    at = data.rfind(b"OggS")
    if at + 27 > len(data) or not data[at + 5] & 4:
        return False
    segments = data[26 + at]
    sizes = data[at + 27 : at + 27 + segments]
    return len(sizes) == segments and at + 27 + segments + sum(sizes) <= len(data)


def _is_of_its_md5(data: bytes, numbers: np.ndarray, read_as: str, shift: int) -> bool:
    """Check whether all numbers of a FLAC file came, by the MD5 that its header has of them, where it has one."""
    declared = data[26:42]
    if not any(declared):
        return True
    size = np.dtype(read_as).itemsize - shift // 8
    raw = numbers.astype("<i4").reshape(-1).view(np.uint8).reshape(-1, 4)[:, :size]
    return hashlib.md5(raw.tobytes(), usedforsecurity=False).digest() == declared
