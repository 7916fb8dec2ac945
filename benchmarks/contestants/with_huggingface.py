# /// script
# requires-python = ">=3.10"
# dependencies = ["datasets", "numpy", "aiohttp", "requests"]
# ///
# What is measured pays for its imports, and pathlib is one.
# ruff: noqa: PTH118, PTH119
"""The tasks with Hugging Face `datasets`, used as well as it can be.

A builder of our own, as its documentation has it: the download manager brings the files, Arrow tables of rows of
fixed length are written once and memory-mapped ever after, and NumPy arrays are made of Arrow's without a copy.
Images as PNG, its usual form, or its Array3D feature, which goes through Python lists, would be far slower to read.
"""

import os

import probe

os.environ["HF_HOME"] = os.path.join(probe.where(), "hf")
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

MNIST = {
    "train": ("mnist/train-images-idx3-ubyte.gz", "mnist/train-labels-idx1-ubyte.gz"),
    "test": ("mnist/t10k-images-idx3-ubyte.gz", "mnist/t10k-labels-idx1-ubyte.gz"),
}
SHAPES = {"mnist": (28, 28), "cifar10": (3, 32, 32)}
ARCHIVE = "cifar-10/cifar-10-python.tar.gz"


def opened(dataset):
    """The data set: built on first use, memory-mapped ever after."""
    import numpy as np
    import pyarrow as pa

    import datasets

    blocks = {"mnist": _idx, "cifar10": _batches}[dataset]
    row = datasets.List(datasets.Value("uint8"), length=int(np.prod(SHAPES[dataset])))
    features = datasets.Features({"images": row, "labels": datasets.Value("int64")})

    class Builder(datasets.ArrowBasedBuilder):
        VERSION = datasets.Version("1.0.0")

        def _info(self):
            return datasets.DatasetInfo(features=features)

        def _split_generators(self, dl_manager):
            paths = [p for pair in MNIST.values() for p in pair] if dataset == "mnist" else [ARCHIVE]
            got = dl_manager.download({path: probe.address(path) for path in paths})
            return [datasets.SplitGenerator(name=s, gen_kwargs={"got": got, "split": s}) for s in ("train", "test")]

        def _generate_tables(self, got, split):
            for number, (images, labels) in enumerate(blocks(got, split)):
                rows = pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), images[0].size)
                yield number, pa.table({"images": rows, "labels": pa.array(labels)})

    Builder.__name__ = dataset
    builder = Builder(cache_dir=os.path.join(probe.where(), "built"))
    builder.download_and_prepare(verification_mode="no_checks")
    return {split: builder.as_dataset(split).with_format("arrow") for split in ("train", "test")}


def first_batch(dataset):
    """The data set, and its first 128 samples."""
    data = opened(dataset)
    images, labels = _numbers(data["train"][:128], dataset)
    probe.note(batch=[len(images), int(images.sum()), int(labels.sum())])
    return data, images, labels


def touched(dataset):
    """The data set, and every byte of it."""
    data = opened(dataset)
    probe.touch([piece for split in data.values() for column in split[:].columns for piece in _pieces(column)])
    return data


def arrays(dataset):
    """What the four arrays hold."""
    found = {}
    for split, data in opened(dataset).items():
        found[f"{split}.images"], found[f"{split}.labels"] = _numbers(data[:], dataset)
    probe.digests(found)


def _numbers(table, dataset):
    """The columns of an Arrow table as NumPy arrays, without a copy where they are in one piece."""
    import numpy as np

    images, labels = (list(_pieces(table[name])) for name in ("images", "labels"))
    whole = [pieces[0] if len(pieces) == 1 else np.concatenate(pieces) for pieces in (images, labels)]
    return whole[0].reshape(-1, *SHAPES[dataset]), whole[1]


def _pieces(column):
    """The pieces that an Arrow column was written in, each a NumPy array over Arrow's own memory."""
    for chunk in column.chunks:
        yield (chunk.flatten() if hasattr(chunk, "flatten") and chunk.type != "int64" else chunk).to_numpy()


def _idx(got, split):
    import gzip

    import numpy as np

    raw = []
    for path, offset in zip(MNIST[split], (16, 8), strict=True):
        with gzip.open(got[path]) as file:
            raw.append(np.frombuffer(file.read(), np.uint8, offset=offset))
    images, labels = raw[0].reshape(-1, 28, 28), raw[1].astype(np.int64)
    for start in range(0, len(labels), 1000):
        yield images[start : start + 1000], labels[start : start + 1000]


def _batches(got, split):
    import pickle
    import tarfile

    import numpy as np

    wanted = [f"data_batch_{n}" for n in range(1, 6)] if split == "train" else ["test_batch"]
    found = {}
    with tarfile.open(got[ARCHIVE]) as archive:
        for member in archive:
            if os.path.basename(member.name) in wanted:
                found[os.path.basename(member.name)] = pickle.load(archive.extractfile(member), encoding="bytes")
    for name in wanted:
        images, labels = found[name][b"data"].reshape(-1, 3, 32, 32), np.array(found[name][b"labels"], np.int64)
        for start in range(0, len(labels), 1000):
            yield images[start : start + 1000], labels[start : start + 1000]


if __name__ == "__main__":
    probe.main({"first-batch": first_batch, "touched": touched, "cold": first_batch, "arrays": arrays})
