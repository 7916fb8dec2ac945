"""Stand-ins for the data sets of others.yaml."""

from __future__ import annotations

import csv
import gzip
import io
import wave
from collections.abc import Mapping

import numpy as np

from tests.formats.known_datasets.arrays import hdf5, mat
from tests.formats.known_datasets.pictures import folders
from tests.formats.known_datasets.stand_ins import Draw, StandIn, Values, decoded, stand_in, tarred, zipped
from tests.formats.known_datasets.tables import text


@stand_in("pcam")
def pcam(draw: Draw) -> StandIn:
    """Two compressed files a split; labels have four axes."""
    values: Values = {}
    files = {}
    for split in ("train", "valid", "test"):
        images, labels = draw.pixels(3, 96, 96, 3), draw.labels(3, 2)
        front = f"camelyonpatch_level_2_split_{split}"
        files[f"{front}_x.h5.gz"] = gzip.compress(hdf5(x=images))
        files[f"{front}_y.h5.gz"] = gzip.compress(hdf5(y=labels.astype("u1").reshape(-1, 1, 1, 1)))
        values[split] = {"images": images, "labels": labels}
    return StandIn(files, values)


@stand_in("country211")
def country211(draw: Draw) -> StandIn:
    """A folder a country, in that of a split."""
    members: dict[str, bytes] = {}
    values: Values = {}
    for split in ("train", "valid", "test"):
        pictures = {
            f"country211/{split}/{country}/{number}.jpg": draw.picture("JPEG", 10 + number, 12)
            for country in ("AD", "ZW")
            for number in (1, 2)
        }
        members |= pictures
        images = [decoded(data) for data in pictures.values()]
        values[split] = {"images": images, "country": ["AD", "AD", "ZW", "ZW"]}
    return StandIn({"country211.tgz": tarred(members)}, values)


folders(
    "rendered_sst2",
    {
        split: ("rendered-sst2.tgz", f"rendered-sst2/{split}/{{folder}}/{{number}}.png")
        for split in ("train", "valid", "test")
    },
    ["0 negative", "1 positive"],
    tarred,
    size=(448, 448),
    kind="PNG",
)


@stand_in("stanford_dogs")
def stanford_dogs(draw: Draw) -> StandIn:
    """Lists of names in cells."""
    lists = {
        "train": ["n02085620-Chihuahua/n02085620_5927.jpg", "n02116738-African_hunting_dog/n02116738_2988.jpg"],
        "test": ["n02116738-African_hunting_dog/n02116738_10024.jpg", "n02085620-Chihuahua/n02085620_2650.jpg"],
    }
    members: dict[str, bytes] = {}
    mats: dict[str, bytes] = {}
    values: Values = {}
    for split, names in lists.items():
        pictures = {name: draw.picture("JPEG", 12, len(name)) for name in names}
        members |= {f"Images/{name}": data for name, data in pictures.items()}
        cells = np.empty((len(names), 1), object)
        cells[:, 0] = names
        mats[f"{split}_list.mat"] = mat(file_list=cells, labels=np.array([[1], [120]], "u1"))
        values[split] = {
            "images": [decoded(data) for data in pictures.values()],
            "breed": [name.split("/")[0] for name in names],
        }
    mats["file_list.mat"] = mat(file_list=np.array(["x"], object))
    return StandIn({"images.tar": tarred(members, ""), "lists.tar": tarred(mats, "")}, values)


@stand_in("celeba")
def celeba(draw: Draw) -> StandIn:
    """A line that counts, a line of the names of all columns but the first, and a line for each picture."""
    pictures = {f"img_align_celeba/{number:06}.jpg": draw.picture("JPEG", 218, 178) for number in range(1, 7)}
    attributes = draw.pixels(6, 40, high=2, dtype="i1") * 2 - 1
    lines = ["6", " ".join(f"Attribute_{number}" for number in range(40)) + " "]
    for number, row in enumerate(attributes, 1):
        lines.append(f"{number:06}.jpg " + " ".join(f"{value:2}" for value in row))
    images = np.array([decoded(data) for data in pictures.values()])
    parts = {"train": [0, 1, 2], "valid": [3, 4], "test": [5]}
    values = {
        name: {"images": images[part], "attributes": attributes[part].astype("i1")} for name, part in parts.items()
    }
    flags = {place: number for number, part in enumerate(parts.values()) for place in part}
    files = {
        "img_align_celeba.zip": zipped(pictures),
        "list_attr_celeba.txt": "\n".join([*lines, ""]).encode(),
        "list_eval_partition.txt": "".join(f"{n + 1:06}.jpg {flag}\n" for n, flag in flags.items()).encode(),
    }
    return StandIn(files, values, {name: {"stored_samples": 6} for name in parts})


@stand_in("adult")
def adult(draw: Draw) -> StandIn:
    """A blank behind each comma; in the tests a remark first and a dot last; an empty line at the end."""
    rows = {
        "train": ["39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, "
                  "2174, 0, 40, United-States, <=50K",
                  "52, ?, 209642, HS-grad, 9, Married-civ-spouse, Exec-managerial, Husband, White, Female, "
                  "0, 0, 45, United-States, >50K"],
        "test": ["25, Private, 226802, 11th, 7, Never-married, Machine-op-inspct, Own-child, Black, Male, "
                 "0, 0, 40, United-States, >50K."],
    }  # fmt: skip
    files = {
        "adult.data": "\n".join([*rows["train"], "", ""]).encode(),
        "adult.test": "\n".join(["|1x3 Cross validator", *rows["test"], "", ""]).encode(),
    }
    values: Values = {
        "train": {
            "numbers": np.array([[39, 77516, 13, 2174, 0, 40], [52, 209642, 9, 0, 0, 45]]),
            "work": ["State-gov", "?"],
            "sex": np.array([1, 0]),
            "income": np.array([0, 1]),
        },
        "test": {
            "numbers": np.array([[25, 226802, 7, 0, 0, 40]]),
            "work": ["Private"],
            "sex": np.array([1]),
            "income": np.array([1]),
        },
    }
    return StandIn(files, values)


@stand_in("uci_har")
def uci_har(draw: Draw) -> StandIn:
    """Three tables of text a split, in an archive whose name has blanks."""
    members, values = {}, {}
    for split in ("train", "test"):
        features, labels, subject = draw.floats(3, 561), draw.labels(3, 6), draw.labels(3, 30)
        folder = f"UCI HAR Dataset/{split}"
        lines = ["".join(f" {value: .7e}" for value in row) + "\n" for row in features]
        members[f"{folder}/X_{split}.txt"] = "".join(lines).encode()
        members[f"{folder}/y_{split}.txt"] = "".join(f"{label + 1}\n" for label in labels).encode()
        members[f"{folder}/subject_{split}.txt"] = "".join(f"{number}\n" for number in subject).encode()
        values[split] = {"features": features, "labels": labels, "subject": subject}
    return StandIn({"UCI HAR Dataset.zip": zipped(members)}, values)


@stand_in("ag_news")
def ag_news(draw: Draw) -> StandIn:
    """Everything in quotes, classes from 1."""
    files, values = {}, {}
    for split in ("train", "test"):
        rows = [["3", f'Wall St. "Bears", {split}', "Reuters - a\\b"], ["1", "Talks", 'He said: ""'], ["4", "x", "y"]]
        file = io.StringIO()
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
        files[f"{split}.csv"] = file.getvalue().encode()
        values[split] = {"labels": np.array([2, 0, 3]), "title": [r[1] for r in rows], "text": [r[2] for r in rows]}
    return StandIn(files, values)


def wav(numbers: np.ndarray, rate: int) -> bytes:
    """A recording, by the wave module."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, rate, 0, "NONE", ""))
        writer.writeframes(numbers.astype("<i2").tobytes())
    return file.getvalue()


@stand_in("esc50")
def esc50(draw: Draw) -> StandIn:
    """The fold is what a name begins with; a table, in another order, has the classes of all."""
    sounds: Mapping[str, tuple[int, np.ndarray]] = {
        f"{fold}-{clip}-A-{label}.wav": (label, np.resize(draw.pixels(99, dtype="i2"), 220_500))
        for fold, clip, label in [(1, 100032, 0), (1, 17367, 10), (2, 50666, 49), (3, 1, 7), (4, 1, 8), (5, 9032, 0)]
    }
    members = {f"ESC-50-master/audio/{name}": wav(numbers, 44_100) for name, (_, numbers) in sounds.items()}
    rows = [[name, name[0], label, "category"] for name, (label, _) in reversed(list(sounds.items()))]
    header = ["filename", "fold", "target", "category"]
    members["ESC-50-master/meta/esc50.csv"] = text([header, *rows])
    names = sorted(sounds)
    values: Values = {}
    for split, its in (("train", names[2:]), ("test", names[:2])):
        values[split] = {
            "sounds": np.array([sounds[name][1] for name in its]),
            "labels": np.array([sounds[name][0] for name in its]),
        }
    labels = {"labels": {"stored_samples": len(rows)}}
    return StandIn({"ESC-50-master.zip": zipped(members)}, values, {"train": labels, "test": labels})


@stand_in("speech_commands")
def speech_commands(draw: Draw) -> StandIn:
    """Names with a dot and a slash in front, as `tar c .` writes them, and lists without."""
    lists = {
        "train": [
            "no/b_nohash_1.wav",
            "no/d_nohash_0.wav",
            "yes/d_nohash_0.wav",
        ],  # which is no list, so they are sorted
        "validation": ["yes/a_nohash_0.wav", "no/b_nohash_0.wav"],
        "test": ["no/c_nohash_1.wav", "yes/a_nohash_1.wav"],
    }
    members: dict[str, bytes] = {}
    values: Values = {}
    for split, names in lists.items():
        sounds = [draw.pixels(1000 + 100 * place, dtype="i2") for place, _ in enumerate(names)]
        members |= {f"./{name}": wav(sound, 16_000) for name, sound in zip(names, sounds, strict=True)}
        if split != "train":
            members[f"./{split.replace('test', 'testing')}_list.txt"] = "".join(f"{name}\n" for name in names).encode()
        values[split] = {
            "sounds": np.array([np.pad(sound, (0, 16_000 - len(sound))) for sound in sounds]),
            "word": [name.split("/")[0] for name in names],
        }
    return StandIn({"speech_commands_v0.02.tar.gz": tarred(members)}, values)


@stand_in("cub200")
def cub200(draw: Draw) -> StandIn:
    """A list of names by number, and for each number whether it is to train on."""
    names = {
        "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg": 0,
        "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg": 1,
        "002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg": 1,
        "200.Common_Yellowthroat/Common_Yellowthroat_0055_190967.jpg": 0,
    }
    folder = "CUB_200_2011"
    pictures = {name: draw.picture("JPEG", 12, len(name)) for name in names}
    members = {f"{folder}/images/{name}": data for name, data in pictures.items()}
    members[f"{folder}/images.txt"] = "".join(f"{n} {name}\n" for n, name in enumerate(names, 1)).encode()
    flags = "".join(f"{n} {flag}\n" for n, flag in enumerate(names.values(), 1))
    members[f"{folder}/train_test_split.txt"] = flags.encode()
    values = {}
    for split, wanted in (("train", 1), ("test", 0)):
        its = [name for name, flag in names.items() if flag == wanted]
        values[split] = {
            "images": [decoded(pictures[name]) for name in its],
            "kind": [name.split("/")[0] for name in its],
        }
    places = {split: {"stored_samples": 4} for split in values}
    return StandIn({"CUB_200_2011.tgz": tarred(members)}, values, places)


@stand_in("stanford_cars")
def stanford_cars(draw: Draw) -> StandIn:
    """An array of structs, one for each picture."""
    values: Values = {}
    files = {}
    for split in ("train", "test"):
        pictures = {f"cars_{split}/{number:05}.jpg": draw.picture("JPEG", 12, 10 + number) for number in (1, 2, 3)}
        model, left = draw.labels(3, 196) + 1, draw.pixels(3, high=900, dtype="i8")
        fields = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
        annotations = np.empty((1, 3), [(name, object) for name in fields])
        for place, name in enumerate(pictures):
            row = [left[place].astype("u2"), np.uint8(5), np.uint8(9), np.uint8(9), np.uint8(model[place])]
            annotations[0, place] = (*row, name.rpartition("/")[2])
        files[f"cars_{split}.tgz"] = tarred(pictures)
        files[f"{split}.mat"] = mat(annotations=annotations)
        values[split] = {"images": [decoded(data) for data in pictures.values()], "model": model, "left": left}
    files["car_devkit.tgz"] = tarred({"devkit/cars_train_annos.mat": files.pop("train.mat"), "devkit/README.txt": b"x"})
    files["cars_test_annos_withlabels.mat"] = files.pop("test.mat")
    return StandIn(files, values)


@stand_in("fsdd")
def fsdd(draw: Draw) -> StandIn:
    """The digit, the speaker and the number, in a name, in an archive of a repository."""
    folder = "free-spoken-digit-dataset-1.0.10"
    order = {"train": range(5, 50), "test": range(5)}
    members, values = {f"{folder}/README.md": b"x"}, {}
    for split, takes in order.items():
        sounds = {f"{d}_theo_{n}.wav": draw.pixels(90 + d, dtype="i2") for n in takes for d in (0, 7)}
        members |= {f"{folder}/recordings/{name}": wav(numbers, 8_000) for name, numbers in sounds.items()}
        values[split] = {
            "recordings": list(sounds.values()),
            "labels": np.array([int(name[0]) for name in sounds]),
            "speaker": ["theo"] * len(sounds),
        }
    return StandIn({f"{folder}.zip": zipped(members)}, values)
