"""Which pairs of TinyTalks train a model, and which are kept back to test it?

    python create_splits.py [FOLDER]

reads tinytalks_v1.txt beside this script and writes train.txt, val.txt and test.txt into FOLDER
(splits/ beside this script, when none is named). Every run writes the same bytes, on any Python.
"""

from __future__ import annotations

import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "tinytalks_v1.txt"

# Pairs per level, in the order of the file: greetings, facts, arithmetic, reasoning, conversations.
LEVELS = (50, 100, 50, 100, 50)

# Pairs in each conversation of the last level, in the order of the file, which does not mark where one ends.
CONVERSATIONS = (3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2)

# Pairs per level in the splits that are held back; train has the rest: 35, 70, 35, 70, 35.
HELD_BACK = {"val": (8, 15, 7, 15, 8), "test": (7, 15, 8, 15, 7)}

# 2**32 over the golden ratio, cut to a whole number. Within a level the file goes from topic to topic, and
# from one kind of sum to the next; steps of the golden ratio land evenly all over it, so that each split
# draws on everything. No random generator: nothing here can change with the version of Python.
GOLDEN = 2_654_435_769


def read_pairs(text: str) -> list[str]:
    """Cut the file into pairs, each "Q: ...\\nA: ...\\n", in order."""
    return [pair.removesuffix("\n") + "\n" for pair in text.split("\n\n")]


def groups_by_level(pairs: list[str]) -> list[list[list[int]]]:
    """Say which pairs must stay together: for each level, groups of positions in the file.

    A pair of the first four levels is a group by itself; in the last level a conversation is one.
    """
    if len(pairs) != sum(LEVELS) or sum(CONVERSATIONS) != LEVELS[-1]:
        problem = (
            f"{SOURCE.name} holds {len(pairs)} pairs and LEVELS declares {sum(LEVELS)}, the last "
            f"{LEVELS[-1]} of them conversations; CONVERSATIONS declares {sum(CONVERSATIONS)}. "
            "Bring the three into step."
        )
        raise ValueError(problem)
    start = 0
    levels = []
    for level, size in enumerate(LEVELS, start=1):
        groups = []
        for length in CONVERSATIONS if level == len(LEVELS) else (1,) * size:
            groups.append(list(range(start, start + length)))
            start += length
        levels.append(groups)
    return levels


def spread(position: int) -> int:
    """Rank the group at this position of its level, so that the first few of any ranking lie evenly apart."""
    return (position + 1) * GOLDEN % 2**32


def take(count: int, ranked: list[list[int]]) -> list[list[int]]:
    """Take groups off the front of a ranking until they hold exactly `count` pairs.

    A group is passed over when taking it would leave too little room for any other.
    """
    smallest = min(map(len, ranked))
    taken: list[list[int]] = []
    for group in ranked:
        left = count - len(group)
        if left == 0 or left >= smallest:
            taken.append(group)
            count = left
        if count == 0:
            return taken
    problem = f"No choice of whole groups comes out even: {count} pairs are missing. Change HELD_BACK."
    raise ValueError(problem)


def split(pairs: list[str]) -> dict[str, list[str]]:
    """Share the pairs out, level by level; each split keeps the order of the file.

    Returns:
        {"train": ..., "val": ..., "test": ...}, 245, 53 and 52 pairs.
    """
    positions: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for level, groups in enumerate(groups_by_level(pairs)):
        ranked = [groups[i] for i in sorted(range(len(groups)), key=spread)]
        for name, counts in HELD_BACK.items():
            taken = take(counts[level], ranked)
            positions[name] += [i for group in taken for i in group]
            ranked = [group for group in ranked if group not in taken]
        positions["train"] += [i for group in ranked for i in group]
    return {name: [pairs[i] for i in sorted(where)] for name, where in positions.items()}


def write(folder: Path) -> dict[str, int]:
    """Write train.txt, val.txt and test.txt into a folder, and say how many pairs each holds."""
    folder.mkdir(parents=True, exist_ok=True)
    # As bytes: text mode would turn every LF into CRLF on Windows, on the way in or on the way out.
    pairs = read_pairs(SOURCE.read_bytes().decode("ascii"))
    counts = {}
    for name, chosen in split(pairs).items():
        (folder / f"{name}.txt").write_bytes("\n".join(chosen).encode("ascii"))
        counts[name] = len(chosen)
    return counts


def main(arguments: list[str]) -> int:
    """Write the three splits; exit 2 if the call is wrong."""
    if len(arguments) > 1:
        print("usage: python create_splits.py [FOLDER]", file=sys.stderr)
        return 2
    folder = Path(arguments[0]) if arguments else SOURCE.parent / "splits"
    for name, count in write(folder).items():
        print(f"{folder / name}.txt: {count} pairs")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
