# What is measured pays for its imports, and pathlib is one.
# ruff: noqa: PTH123
"""What a run took, as the process itself measures it.

A contestant is a script of tasks. The harness runs one task in a fresh process; when the task returns, the clocks are
read first, then what the kernel knows of the process's memory, while what the task returned is still in hand.
Nothing heavy is imported before that, so that no contestant pays for being watched.
"""

import os
import sys
import time

MEASURED = {"VmHWM": "peak_kib", "Anonymous": "private_kib"}

_noted = {}


def where():
    """The folder that the contestant may fill, and finds again when it is warm."""
    return os.environ["BENCH_FOLDER"]


def address(path):
    """The address of a file on the loopback server."""
    return os.environ["BENCH_URL"] + path


def facts():
    """Names, sizes and hashes of the files that are served, for the contestants that ask for them."""
    import json

    with open(os.environ["BENCH_FACTS"], "rb") as file:
        return json.load(file)


def note(**facts):
    """Add to the report."""
    _noted.update(facts)


def touch(arrays):
    """Read every byte of all arrays; the largest value stands for having done so."""
    note(touched=[int(array.max()) for array in arrays])


def digests(arrays):
    """Tell one sum for each named array: sha256 of dtype, shape and the bytes in C order."""
    import hashlib

    import numpy as np

    sums = {}
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        digest = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
        sums[name] = digest.hexdigest()
    note(digests=sums)


def bag(batches):
    """Tell a sum over all samples of all batches that does not depend on their order."""
    import hashlib

    total = count = 0
    for images, labels in batches:
        for image, label in zip(images, labels):  # noqa: B905 - Python 3.9 runs this, too
            digest = hashlib.sha256(image.tobytes() + int(label).to_bytes(8, "little")).digest()
            total = (total + int.from_bytes(digest[:8], "little")) % 2**64
            count += 1
    note(bag=[count, total])


def paced(name, passes, once):
    """Tell how long each of several calls in this one process took, in seconds."""
    took = []
    for _ in range(passes):
        begun = time.perf_counter()
        once()
        took.append(time.perf_counter() - begun)
    note(**{name: took})


def main(tasks):
    """Run the task that the command line names, and print what it took as one line of JSON."""
    task = tasks[sys.argv[1]]
    held = task(*sys.argv[2:])
    done, cpu = time.monotonic(), time.process_time()
    memory = _memory()
    import json
    import resource

    # Of processes that the task started and waited for; its own are in `cpu`.
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = {"done": done, "cpu_s": cpu + children.ru_utime + children.ru_stime, **memory, **_noted}
    report["modules"] = len(sys.modules)
    sys.stdout.write("\n" + json.dumps(report) + "\n")
    sys.stdout.flush()
    del held


def _memory():
    found = {}
    for path in ("/proc/self/status", "/proc/self/smaps_rollup"):
        try:
            with open(path) as lines:
                for line in lines:
                    name, _, value = line.partition(":")
                    if name in MEASURED:
                        found[MEASURED[name]] = int(value.split()[0])
        except OSError:  # no Linux: time only
            pass
    return found
