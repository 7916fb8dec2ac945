"""What does an archive of CIFAR's batches hold: which members, how many images, which classes?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.adding import names
from tinytorch_datasets.adding.seen import INFLATED_BYTES, INSTRUCTIONS, Look, Seen
from tinytorch_datasets.errors import DecodeError, UnsafePickle
from tinytorch_datasets.formats import _tar
from tinytorch_datasets.formats._unpickle import as_text, load_dict
from tinytorch_datasets.formats.cifar_python import PIXELS

LABEL_KEYS = ("labels", "fine_labels", "coarse_labels")
NAME_KEYS = {"labels": "label_names", "fine_labels": "fine_label_names", "coarse_labels": "coarse_label_names"}


def look(path: Path, file: str) -> Look:
    """What an archive of batches holds. Nothing is extracted: members are read where they are."""
    loaded = {}
    limit = max(INFLATED_BYTES, path.stat().st_size)
    for name, stream in _tar.files(path, limit=limit, promise="the most that is read to recognise a file"):
        most_bytes = min(stream.size or 0, limit)
        try:
            loaded[name] = load_dict(stream.some, path, most=INSTRUCTIONS, declared=most_bytes, member=name)
        except UnsafePickle:
            raise
        except DecodeError:
            continue  # a readme, which is no batch
    found = {name: batch for name, batch in loaded.items() if _is_batch(batch)}
    if not found:
        reason = "it is a tar archive, and none of its members is a batch of CIFAR's"
        raise DecodeError(path, reason, mend="Unpack it, and add the files in it.")
    key = next(k for k in LABEL_KEYS if k in next(iter(found.values())))
    classes = next((tuple(map(as_text, m[NAME_KEYS[key]])) for m in loaded.values() if NAME_KEYS[key] in m), None)
    seen = []
    for name in sorted(found, key=_naturally):
        samples, split = len(found[name]["data"]), names.split_of(name) or "train"
        about: dict[str, Any] = {"split": split, "member": name}
        seen.append(Seen("", "uint8", (samples, 3, 32, 32), field="images", **about))
        seen.append(Seen("", "int64", (samples,), field="labels", classes=classes, **about))
    return Look(file, path, "cifar-python", tuple(seen), {"labels": key} if key != "labels" else {})


def _is_batch(loaded: dict[Any, Any]) -> bool:
    data = loaded.get("data")
    is_images = isinstance(data, np.ndarray) and data.ndim == 2 and data.shape[1] == PIXELS
    return is_images and any(key in loaded for key in LABEL_KEYS)


def _naturally(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
