# /// script
# requires-python = ">=3.10"
# dependencies = ["pooch", "numpy"]
# ///
# What is measured pays for its imports, and pathlib is one.
# ruff: noqa: PTH110, PTH118, PTH119, PTH120
"""The tasks with Pooch, and NumPy by hand, both used as well as they can be.

Pooch brings the files and hashes them at every start. A processor decodes them once and keeps `.npy` files beside
them, so that a warm start inflates nothing; its `Untar` is not used, which inflates the archive at every start.
Downloads come in chunks of 1 MiB: Pooch's own 1 KiB is several times slower.
"""

import os

import probe

MNIST = {
    "train-images-idx3-ubyte.gz": ("train.images", 16),
    "train-labels-idx1-ubyte.gz": ("train.labels", 8),
    "t10k-images-idx3-ubyte.gz": ("test.images", 16),
    "t10k-labels-idx1-ubyte.gz": ("test.labels", 8),
}
ARCHIVE = "cifar-10-python.tar.gz"


def opened(dataset):
    """All four arrays, mapped; the files that they are from hashed again."""
    import numpy as np
    import pooch

    pooch.get_logger().setLevel("WARNING")
    files = probe.facts()["files"]
    decode, prefix, names = {
        "mnist": (_idx, "mnist/", tuple(MNIST)),
        "cifar10": (_batches, "cifar-10/", (ARCHIVE,)),
    }[dataset]
    arrays = {}
    for name in names:
        kept = pooch.retrieve(
            probe.address(prefix + name),
            known_hash="sha256:" + files[prefix + name]["sha256"],
            fname=name,
            path=os.path.join(probe.where(), dataset),
            processor=decode,
            downloader=pooch.HTTPDownloader(chunk_size=1 << 20),
        )
        arrays.update({os.path.basename(path)[: -len(".npy")]: np.load(path, mmap_mode="r") for path in kept})
    return arrays


def first_batch(dataset):
    """The maps, and the first 128 samples."""
    arrays = opened(dataset)
    images, labels = arrays["train.images"][:128], arrays["train.labels"][:128]
    probe.note(batch=[len(images), int(images.sum()), int(labels.sum())])
    return arrays, images, labels


def touched(dataset):
    """The maps, and every byte of them."""
    arrays = opened(dataset)
    probe.touch(arrays.values())
    return arrays


def arrays(dataset):
    """What the four arrays hold."""
    probe.digests(opened(dataset))


def _idx(path, action, _):
    import gzip

    import numpy as np

    name, offset = MNIST[os.path.basename(path)]
    target = os.path.join(os.path.dirname(path), name + ".npy")
    if action != "fetch" or not os.path.exists(target):
        with gzip.open(path) as file:
            values = np.frombuffer(file.read(), np.uint8, offset=offset)
        np.save(target, values.reshape(-1, 28, 28) if offset == 16 else values.astype(np.int64))
    return [target]


def _batches(path, action, _):
    import pickle
    import tarfile

    import numpy as np

    folder = os.path.dirname(path)
    targets = [os.path.join(folder, f"{split}.{field}.npy") for split in ("train", "test") for field in _FIELDS]
    if action != "fetch" or not all(map(os.path.exists, targets)):
        found = {}
        with tarfile.open(path) as archive:
            for member in archive:
                if "_batch" in member.name:
                    found[os.path.basename(member.name)] = pickle.load(archive.extractfile(member), encoding="bytes")
        for split, names in (("train", [f"data_batch_{n}" for n in range(1, 6)]), ("test", ["test_batch"])):
            images = np.concatenate([found[name][b"data"] for name in names]).reshape(-1, 3, 32, 32)
            np.save(os.path.join(folder, f"{split}.images.npy"), images)
            labels = np.concatenate([found[name][b"labels"] for name in names]).astype(np.int64)
            np.save(os.path.join(folder, f"{split}.labels.npy"), labels)
    return targets


_FIELDS = ("images", "labels")

if __name__ == "__main__":
    probe.main({"first-batch": first_batch, "touched": touched, "cold": first_batch, "arrays": arrays})
