"""What a fuzzer starts from: a few small files for each target, written by the tools that people write them with.

`python fuzz/seeds.py FOLDER` writes them below that folder, one folder a target.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import scipy.io
import soundfile
from PIL import Image

TABLE = pa.table({"number": [0, None, 2], "text": ["a", "b", "a"], "pair": [[0, 1], [2, 3], [4, 5]]})
IMAGES = np.array([[0, 1], [2, 3], [4, 5]], "u1")
MANIFEST = """
version: 1
download_to: data
datasets:
  digits:
    title: "Digits"
    status: remote
    format: csv
    options: {delimiter: ";", columns: {labels: [0, kind]}}
    license: &l CC0-1.0
    source: *l
    used_by: [a/b.py]
    folder: d
    fields:
      images: {dtype: uint8, shape: [8, 8], range: [0, 16]}
      labels: {dtype: int64, classes: ["0", "1"]}
    splits:
      train: {samples: 1_0, file: a.csv}
      test: {samples: 10, file: b.csv, labels: kind}
    contract: {duplicates: {of: [images], within: 0}, balance: 1.5}
    mirrors: [https://example.org/files/]
    files:
      a.csv: {bytes: 1_000, sha256: HASH}
      b.csv:
        bytes: 7
        sha256: HASH
        urls:
          - "https://example.org/b?c=d"
""".replace("HASH", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609")


def tarred(form: int, **members: bytes) -> bytes:
    """A tar archive, by the standard library."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"comment": "a", "path": name}
            archive.addfile(info, io.BytesIO(data))
    # The zeros that a file is filled up with would be most of it.
    return out.getvalue().rstrip(b"\0") + bytes(1024)


def npy(values: np.ndarray) -> bytes:
    """NPY, by NumPy."""
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def zipped(**members: bytes) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


# What ends the identifier of a kind of numbers in the extensible form of WAV.
GUID = bytes.fromhex("000000001000800000aa00389b71")


def wav(*names_and_bodies: bytes) -> bytes:
    """A RIFF file of chunks, each a name and a body."""
    pairs = zip(names_and_bodies[::2], names_and_bodies[1::2], strict=True)
    body = b"WAVE" + b"".join(n + struct.pack("<I", len(of)) + of + b"\0" * (len(of) % 2) for n, of in pairs)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def picture(kind: str) -> bytes:
    """A picture of a few pixels, by Pillow."""
    out = io.BytesIO()
    Image.fromarray(np.arange(18, dtype="u1").reshape(2, 3, 3)).save(out, kind)
    return out.getvalue()


def flac() -> bytes:
    """A few frames of FLAC, by soundfile."""
    out = io.BytesIO()
    soundfile.write(out, IMAGES.astype("int16"), 8000, format="FLAC")
    return out.getvalue()


def table(write: Callable[[io.BytesIO], None]) -> bytes:
    """Parquet or Arrow, by pyarrow."""
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def mat(*, compressed: bool = False, **variables: object) -> bytes:
    """MATLAB's file, by SciPy."""
    out = io.BytesIO()
    scipy.io.savemat(out, variables, do_compression=compressed)
    return out.getvalue()


def hdf5(values: object, **how: Any) -> bytes:
    """HDF5, by h5py."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("images", data=values, **how)
    return out.getvalue()


def seeds() -> Mapping[str, list[bytes]]:
    """The seeds of each target."""
    held = {"data": IMAGES, "labels": [0, 1, 2], "x": (None, 1.5, "\u00e9", b"\0", True, -(2**40))}
    batch = pickle.dumps({"data": np.zeros((3, 3072), "u1"), "labels": [0, 1, 2]}, 2)
    idx = struct.pack(">HBBII", 0, 8, 2, 3, 2) + IMAGES.tobytes()
    return {
        "unpickler": [
            *(pickle.dumps(held, protocol) for protocol in range(6)),
            b"cos\nsystem\n(S'true'\ntR.",
            b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
            b"(S'a'\nios\nsystem\n.",
            pickle.dumps([np.float64(1), np.array([1, 2], ">i2"), np.array([None])]),
        ],
        "idx": [idx, gzip.compress(idx, mtime=0), idx[:9], b"\0\0\x08\xff" + b"\0\0\0\1" * 255],
        "npy": [npy(IMAGES), npy(np.asfortranarray(IMAGES)), npy(IMAGES.astype("<f8")), npy(np.array([None]))],
        "tar": [
            tarred(tarfile.GNU_FORMAT, b=pickle.dumps({"data": IMAGES, "labels": [0]}, 2)),
            tarred(tarfile.PAX_FORMAT, a=b"x", b=b"N."),
            tarred(tarfile.GNU_FORMAT, **{"a" * 120: b"x"}),
            gzip.compress(tarred(tarfile.USTAR_FORMAT, b=batch), mtime=0),
        ],
        "svmlight": [
            b"+1 1:0.5 3:1\n-1 2:.25 # remark\n\n2.5 4:1e3\r\n",
            b"1 qid:1 0:1\n2 qid:1 1:2\n3 qid:2\n",
            b"1,2 1:1\n",
            b"\xef\xbb\xbf1 1:1\n",
        ],
        "texts": [
            tarred(tarfile.PAX_FORMAT, **{"ant/1.txt": b"a", "bee/1.txt": b"caf\xc3\xa9\r\n"}),
            tarred(tarfile.GNU_FORMAT, **{"x/ant/1": gzip.compress(b"a", mtime=0), "x/bee/1": b"\xff"}),
            zipped(**{"ant/1.txt": b"a", "bee/1.txt": b"b", "cat/._1.txt": b"c"}),
        ],
        "audio": [
            wav(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16), b"data", b"\1\2\3\4"),
            wav(b"fmt ", struct.pack("<HHIIHH", 1, 2, 8000, 48000, 6, 24), b"LIST", b"a", b"data", b"\1\2\3\4\5\6"),
            wav(b"fmt ", struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 8, 32, 4, 32, 22, 32, 4, 3) + GUID, b"data", b"\0" * 8),
            wav(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8), b"data", b"")[:-4] + b"\xff" * 9,
            flac(),
        ],
        "images": [picture(kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM")],
        "csv": [
            b"\x10a,b\n0,1.5\n2,3\n4,5\n",
            b"\x21" + b'0;"1"\r\n2;3\r\n4;5\r\n',
            b"\x12images\nant\nbee\ncat\n",
            b"\x13\xef\xbb\xbfimages\n" + b'"a ""b"",\nc"\nd\ne\n',
            b"\x14images\ntrue\n0\nFalse\n",
        ],
        "arff": [
            b"@relation r\n@attribute images real\n@attribute b real\n@data\n1,2\n3 4\n5,?\n",
            b"% a\n@RELATION 'r'\n@attribute images {ant, 'bee', \"cat\"}\n@data\nant\n'bee'\n?\n",
            b"@relation r\n@attribute images string\n@data\n'a\\'b \\u00e9'\n\"c\"\n%\n{0 1}\n",
        ],
        "records": [
            b'\0{"images": 1}\n{"images": null}\n{}\n',
            b'\1{"images": [1, 2.5]}\r\n{"images": [3, 4]}\r\n{"images": [5e-1, 6]}',
            b'\2[{"images": "a"}, {"images": "\\ud83d\\ude00"}, {"images": "\\ud800"}]',
            b'\3{"a": {"b": [true, false, true]}}',
            b'\x12{"data": [{"x": [{"images": 1}, 2]}]}',
        ],
        "qa-text": [
            b"Q: a\nA: b\n\nQ: c\nA: d\n\nQ: e\nA: f\n",
            "Q: \u00e9\u2028\nA: b\n\nQ: c\nA: d".encode(),
            b"one\ntwo\nthree\n",
        ],
        "tables": [
            table(lambda out: pq.write_table(TABLE, out)),
            table(lambda out: pq.write_table(TABLE, out, use_dictionary=False, compression="none", row_group_size=2)),
            table(lambda out: feather.write_feather(TABLE, out, compression="zstd")),
            table(lambda out: feather.write_feather(TABLE, out, compression="uncompressed")),
        ],
        "mat": [
            mat(images=IMAGES, other=np.eye(2)),
            mat(images=IMAGES, compressed=True),
            mat(images=np.array(["ant", "bee", "cat"])),
            mat(images=np.array(["ant", "bee", ""], object)),
            mat(images=np.array([np.arange(2), np.arange(3), "a"], object)),
            mat(a={"b": IMAGES}, compressed=True),
        ],
        "hdf5": [
            hdf5(IMAGES),
            hdf5(IMAGES, chunks=True, compression="gzip", shuffle=True, fletcher32=True),
            hdf5(IMAGES, chunks=True, compression="lzf"),
            hdf5(np.array([b"ant", b"bee", b"cat"])),
            hdf5(np.array(["ant", "bee", ""], object)),
        ],
        "binary-records": [struct.pack(">4s", b"head") + struct.pack(">B?2f", 1, True, 0.5, 2) * 3, b"head"],
        "manifest": [
            MANIFEST.encode(),
            b"version: 1\ndatasets: {}\n",
            b"- &a [*a]\n",
            b"a: !!python/name:os.system x\n",
        ],
    }


def write(folder: Path) -> None:
    """Write the seeds, one folder a target."""
    for target, found in seeds().items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(found):
            (folder / target / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
