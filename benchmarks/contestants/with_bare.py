# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy"]
# ///
# What is measured pays for its imports, and pathlib is one.
# ruff: noqa: PTH118, PTH119, PTH123
"""The tasks by hand, with NumPy and the standard library, and no check at all."""

import os

import probe

SPLITS = ("train", "test")
FIELDS = ("images", "labels")
MNIST = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
ARCHIVE = "cifar-10-python.tar.gz"
BATCHES = {
    "train": [f"cifar-10-batches-py/data_batch_{n}" for n in range(1, 6)],
    "test": ["cifar-10-batches-py/test_batch"],
}


def imported():
    """Import NumPy."""
    import numpy

    return numpy


def opened(dataset):
    """All four arrays, mapped."""
    import numpy as np

    folder = probe.where()
    return {
        f"{split}.{field}": np.load(f"{folder}/{dataset}.{split}.{field}.npy", mmap_mode="r")
        for split in SPLITS
        for field in FIELDS
    }


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


def hashed(dataset):
    """The maps and every byte of them, and every file hashed, two at a time, the largest first."""
    _hash_everything()
    return touched(dataset)


def cold(dataset):
    """Download, inflate, unpack, save, map; then the first batch."""
    {"mnist": _cold_mnist, "cifar10": _cold_cifar10}[dataset]()
    return first_batch(dataset)


def epochs(dataset):
    """Shuffled passes in batches of 128, as float32 from 0 to 1."""
    arrays = opened(dataset)
    probe.paced("epoch_s", 3, lambda: [None for _ in _shuffled(arrays)])
    return arrays


def bag(dataset):
    """What an epoch hands over."""
    probe.bag(_shuffled(opened(dataset)))


def audit():
    """Every file hashed, two at a time, the largest first."""
    _hash_everything()


def audits():
    """The same again and again."""
    probe.paced("audit_s", 5, _hash_everything)


def audit_decoded():
    """Every file hashed; every source inflated and decoded as well, two at a time."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as threads:
        jobs = [threads.submit(list, _decode_cifar10()), threads.submit(_decode_mnist)]
        _hash_everything()
        return [job.result() for job in jobs]


def arrays(dataset):
    """What the four arrays hold."""
    probe.digests(opened(dataset))


def _shuffled(arrays):
    import numpy as np

    x, y = arrays["train.images"], arrays["train.labels"]
    order = np.random.RandomState(0).permutation(len(x))
    for start in range(0, len(x), 128):
        j = order[start : start + 128]
        yield x[j].astype("float32") / 255, y[j]


def _hash_everything():
    import hashlib
    from concurrent.futures import ThreadPoolExecutor

    def sha256(path):
        digest, buffer = hashlib.sha256(), memoryview(bytearray(1 << 20))
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
        return digest.hexdigest()

    files = [os.path.join(folder, name) for folder, _, names in os.walk(probe.where()) for name in names]
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(sha256, sorted(files, key=os.path.getsize, reverse=True)))


def _download(path):
    import shutil
    from urllib.request import urlopen

    target = os.path.join(probe.where(), os.path.basename(path))
    with urlopen(probe.address(path)) as answer, open(target, "wb") as file:
        shutil.copyfileobj(answer, file, 1 << 20)
    return target


def _save(dataset, split, **fields):
    import numpy as np

    for field, values in fields.items():
        np.save(f"{probe.where()}/{dataset}.{split}.{field}.npy", values)


def _cold_mnist():
    for names in MNIST.values():
        for name in names:
            _download("mnist/" + name)
    for split, images, labels in _decode_mnist():
        _save("mnist", split, images=images, labels=labels)


def _decode_mnist():
    import gzip

    import numpy as np

    def read(name, offset):
        with open(os.path.join(probe.where(), name), "rb") as file:
            return np.frombuffer(gzip.decompress(file.read()), np.uint8, offset=offset)

    return [
        (split, read(images, 16).reshape(-1, 28, 28), read(labels, 8).astype(np.int64))
        for split, (images, labels) in MNIST.items()
    ]


def _cold_cifar10():
    _download("cifar-10/" + ARCHIVE)
    for split, images, labels in _decode_cifar10():
        _save("cifar10", split, images=images, labels=labels)


def _decode_cifar10():
    import pickle
    import tarfile

    import numpy as np

    found = {}
    with tarfile.open(os.path.join(probe.where(), ARCHIVE)) as archive:
        for member in archive:
            if "_batch" in member.name:
                found[member.name] = pickle.load(archive.extractfile(member), encoding="bytes")
    for split, names in BATCHES.items():
        images = np.concatenate([found[name][b"data"] for name in names]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([found[name][b"labels"] for name in names]).astype(np.int64)
        yield split, images, labels


if __name__ == "__main__":
    probe.main(
        {
            "import": imported,
            "first-batch": first_batch,
            "touched": touched,
            "verified": hashed,
            "cold": cold,
            "epochs": epochs,
            "bag": bag,
            "audit": audit,
            "audits": audits,
            "audit-decoded": audit_decoded,
            "arrays": arrays,
        }
    )
