"""Stand-ins for the data sets of pictures.yaml, by Pillow, and by SciPy where lists are MATLAB's."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from tests.formats.known_datasets.arrays import mat
from tests.formats.known_datasets.stand_ins import (
    Draw,
    StandIn,
    Values,
    decoded,
    sklearn_folder,
    stand_in,
    tarred,
    zipped,
)

Pack = Callable[[Mapping[str, bytes]], bytes]


def folders(
    name: str,
    splits: Mapping[str, tuple[str, str]],
    classes: Sequence[str],
    pack: Pack,
    *,
    size: tuple[int, int] | None = None,
    kind: str = "JPEG",
    modes: Sequence[str] = ("RGB",),
    litter: Sequence[str] = (),
) -> None:
    """Enter the maker of a data set that has a folder a class.

    Args:
        name: The entry's.
        splits: The file of each split, and how its members are called, by the `folder` and the `number` of a picture.
        classes: Three folders or fewer that the stand-in has, and their numbers in the entry, as `3 roses`.
        pack: What makes an archive.
        size: Height and width of all pictures; where it is left out, each has its own.
        kind: Pillow's name of their format.
        modes: The modes of pictures, in turn; `get` makes RGB of all.
        litter: Other members of each archive.
    """

    @stand_in(name)
    def make(draw: Draw) -> StandIn:
        files: dict[str, dict[str, bytes]] = {}
        values = {}
        for split, (file, called) in splits.items():
            made: dict[str, tuple[int, bytes]] = {}
            for place, (label, folder) in enumerate(item.split(" ", 1) for item in classes):
                for number in (1, 2):
                    height, width = size or (11 + place, 17 + number)
                    data = draw.picture(kind, height, width, modes[(place + number) % len(modes)])
                    made[called.format(folder=folder, number=number)] = (int(label), data)
            archive = files.setdefault(file, dict.fromkeys(litter, b"litter"))
            archive |= {member: data for member, (_, data) in made.items()}
            pictures = [decoded(made[member][1], "RGB") for member in sorted(made)]
            values[split] = {
                "images": np.array(pictures) if size else pictures,
                "labels": np.array([made[member][0] for member in sorted(made)]),
            }
        return StandIn({file: pack(members) for file, members in files.items()}, values)


folders(
    "horses-or-humans",
    {
        "train": ("horse-or-human.zip", "{folder}/{folder}{number:02}-0.png"),
        "test": ("validation-horse-or-human.zip", "{folder}/{folder}{number}-000.png"),
    },
    ["0 horses", "1 humans"],
    zipped,
    size=(300, 300),
    kind="PNG",
    modes=["RGBA"],
)
folders(
    "rock-paper-scissors",
    {
        "train": ("rps.zip", "rps/{folder}/{folder}01-{number:03}.png"),
        "test": ("rps-test-set.zip", "rps-test-set/{folder}/test{folder}01-{number:02}.png"),
    },
    ["0 rock", "1 paper", "2 scissors"],
    zipped,
    size=(300, 300),
    kind="PNG",
    modes=["RGBA"],
    litter=["__MACOSX/rps/._rock"],
)
folders(
    "tf-flowers",
    {"all": ("flower_photos.tgz", "flower_photos/{folder}/{number}_n.jpg")},
    ["0 daisy", "2 roses", "4 tulips"],
    tarred,
    litter=["flower_photos/LICENSE.txt"],
)
folders(
    "malaria",
    {"all": ("cell_images.zip", "cell_images/{folder}/C{number}_cell_1.png")},
    ["0 Parasitized", "1 Uninfected"],
    zipped,
    kind="PNG",
    litter=["cell_images/Parasitized/Thumbs.db"],
)
folders(
    "beans",
    {
        split: (f"{split}.zip", f"{split}/{{folder}}/{{folder}}_{split}.{{number}}.jpg")
        for split in ("train", "validation", "test")
    },
    ["0 angular_leaf_spot", "1 bean_rust", "2 healthy"],
    zipped,
    size=(500, 500),
)
for eurosat in ("eurosat", "eurosat_rgb"):
    folders(
        eurosat,
        {"all": ("EuroSAT.zip", "2750/{folder}/{folder}_{number}.jpg")},
        ["0 AnnualCrop", "8 River", "9 SeaLake"],
        zipped,
        size=(64, 64),
    )
folders(
    "uc-merced",
    {"all": ("UCMerced_LandUse.zip", "UCMerced_LandUse/Images/{folder}/{folder}{number:02}.tif")},
    ["0 agricultural", "1 airplane", "20 tenniscourt"],
    zipped,
    kind="TIFF",
    litter=["UCMerced_LandUse/readme.txt"],
)
folders(
    "imagenette",
    {
        split: ("imagenette2-160.tgz", f"imagenette2-160/{split}/{{folder}}/{{folder}}_{{number}}.JPEG")
        for split in ("train", "val")
    },
    ["0 n01440764", "5 n03394916", "9 n03888257"],
    tarred,
    modes=["RGB", "L"],
    litter=["imagenette2-160/noisy_imagenette.csv"],
)
folders(
    "caltech101",
    {"all": ("caltech-101.zip", "101_ObjectCategories/{folder}/image_{number:04}.jpg")},
    ["0 accordion", "4 BACKGROUND_Google", "101 yin_yang"],
    lambda members: zipped(
        {
            "caltech-101/101_ObjectCategories.tar.gz": tarred(members),
            "caltech-101/Annotations.tar": tarred({"Annotations/show_annotation.m": b""}, ""),
        }
    ),
    modes=["RGB", "L"],
    litter=["101_ObjectCategories/BACKGROUND_Google/tmp"],
)


def omniglot(name: str, alphabets: dict[str, tuple[str, str]]) -> None:
    """Enter one of two halves of Omniglot: a folder a character, in that of its alphabet; drawings of single bits."""

    @stand_in(name)
    def make(draw: Draw) -> StandIn:
        files, values = {}, {}
        for split, names_of_alphabets in alphabets.items():
            front = f"images_{'background_' if split.startswith('small') else ''}{split}"
            members = {
                f"{front}/{alphabet}/character{character:02}/{character:04}_{drawing:02}.png": draw.picture(
                    "PNG", 105, 105, "1"
                )
                for alphabet in names_of_alphabets
                for character in (1, 2)
                for drawing in (1, 2)
            }
            names = sorted(members)
            files[f"{front}.zip"] = zipped(members)
            values[split] = {
                "images": np.array([decoded(members[name]) for name in names]),
                "alphabet": [name.split("/")[1] for name in names],
                "character": [name.split("/")[2] for name in names],
            }
        return StandIn(files, values)


omniglot("omniglot", {"background": ("Greek", "Latin"), "evaluation": ("Tibetan", "ULOG")})
omniglot("omniglot-small", {"small1": ("Balinese", "Latin"), "small2": ("Greek", "Latin")})


@stand_in("sample-images")
def sample_images(draw: Draw) -> StandIn:
    """The real ones, which the package of scikit-learn has."""
    folder = sklearn_folder() / "images"
    files = {name: (folder / name).read_bytes() for name in ("china.jpg", "flower.jpg")}
    return StandIn(files, {"all": {"images": np.array([decoded(data) for data in files.values()])}})


@stand_in("lfw")
def lfw(draw: Draw) -> StandIn:
    """A folder a person, beside lists of pairs."""
    people = ["Aaron_Eckhart", "Aaron_Guiel", "Zico"]
    members = {f"lfw/{name}/{name}_0001.jpg": draw.picture("JPEG", 250, 250) for name in people}
    pictures = np.array([decoded(data) for data in members.values()])
    members["lfw/pairs_01.txt"] = b"300\n"
    return StandIn({"lfw.tgz": tarred(members)}, {"all": {"images": pictures, "person": people}})


@stand_in("cats-vs-dogs")
def cats_vs_dogs(draw: Draw) -> StandIn:
    """Two pictures are empty files; each is made 128 x 128 by Pillow's filter."""
    names = ["PetImages/Cat/0.jpg", "PetImages/Cat/1.jpg", "PetImages/Dog/0.jpg"]
    members = {name: draw.picture("JPEG", 30, 40 + place, ("RGB", "L")[place % 2]) for place, name in enumerate(names)}
    pictures = [
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((128, 128), Image.Resampling.BILINEAR))
        for data in members.values()
    ]
    members |= {"PetImages/Cat/666.jpg": b"", "PetImages/Dog/11702.jpg": b"", "PetImages/Cat/Thumbs.db": b"x"}
    members["readme[1].txt"] = b"x"
    values = {"all": {"images": np.array(pictures), "labels": np.array([0, 0, 1])}}
    return StandIn({"kagglecatsanddogs_5340.zip": zipped(members)}, values)


@stand_in("oxford_iiit_pet")
def oxford_iiit_pet(draw: Draw) -> StandIn:
    """The breed is what comes before the number in a name; lists have names, breeds and species."""
    labels = {"Abyssinian": 0, "Bengal": 1, "american_pit_bull_terrier": 13}
    lists = {
        "trainval": ["american_pit_bull_terrier_7", "Abyssinian_10", "Abyssinian_9"],
        "test": ["Bengal_2", "american_pit_bull_terrier_10"],
    }
    members: dict[str, bytes] = {}
    texts: dict[str, bytes] = {}
    values: Values = {}
    for split, names in lists.items():
        pictures = {name: draw.picture("JPEG", 12, 10 + len(name)) for name in names}
        members |= {f"images/{name}.jpg": data for name, data in pictures.items()}
        breeds = [labels[name.rpartition("_")[0]] for name in names]
        species = [int(breed > 11) for breed in breeds]
        rows = zip(names, breeds, species, strict=True)
        texts[f"annotations/{split}.txt"] = "".join(f"{n} {b + 1} {s + 1} {b + 1}\n" for n, b, s in rows).encode()
        values[split] = {
            "images": [decoded(data) for data in pictures.values()],
            "labels": np.array(breeds),
            "species": np.array(species),
        }
    members |= {"images/Abyssinian_101.mat": b"x", "images/Bengal_3.jpg": draw.picture("JPEG", 9, 9)}
    texts |= {"annotations/README": b"x", "annotations/xmls/Bengal_2.xml": b"x"}
    return StandIn({"images.tar.gz": tarred(members), "annotations.tar.gz": tarred(texts)}, values)


@stand_in("flowers102")
def flowers102(draw: Draw) -> StandIn:
    """Numbers of classes, and of the pictures of each split, from 1."""
    pictures = {f"jpg/image_{n:05}.jpg": draw.picture("JPEG", 12, 10 + n) for n in range(1, 9)}
    labels = draw.labels(8, 102)
    ids = {"trnid": [6, 2, 3], "valid": [1, 8], "tstid": [4, 5, 7]}
    arrays = [decoded(data) for data in pictures.values()]
    values, places = {}, {}
    for split, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid")):
        of = [number - 1 for number in ids[key]]
        values[split] = {"images": [arrays[n] for n in of], "labels": labels[of]}
        places[split] = {"stored_samples": 8}
    files = {
        "102flowers.tgz": tarred(pictures),
        "imagelabels.mat": mat(labels=(labels + 1).astype("u1")[None]),
        "setid.mat": mat(**{key: np.array([numbers], "u2") for key, numbers in ids.items()}),
    }
    return StandIn(files, values, places)


def listed(
    draw: Draw,
    lists: Mapping[str, Sequence[str]],
    labels: Mapping[str, int],
    list_of: str,
    picture_of: str,
    ending: str,
) -> tuple[dict[str, bytes], Values]:
    """Pictures in folders of classes, and for each split a list of their names, in an order of its own."""
    members: dict[str, bytes] = {}
    values: Values = {}
    for split, names in lists.items():
        pictures = [draw.picture("JPEG", 12, 10 + len(name)) for name in names]
        members |= {picture_of.format(name) + ending: data for name, data in zip(names, pictures, strict=True)}
        members[list_of.format(split)] = "".join(f"{name}\n" for name in names).encode()
        values[split] = {
            "images": [decoded(data) for data in pictures],
            "labels": np.array([labels[name.split("/")[0]] for name in names]),
        }
    return members, values


@stand_in("dtd")
def dtd(draw: Draw) -> StandIn:
    """Ten lists for each split, of which these are the first."""
    lists = {
        "train": ["zigzagged/zigzagged_0002.jpg", "banded/banded_0004.jpg", "banded/banded_0002.jpg"],
        "val": ["blotchy/blotchy_0003.jpg"],
        "test": ["zigzagged/zigzagged_0064.jpg", "banded/banded_0010.jpg"],
    }
    labels = {"banded": 0, "blotchy": 1, "zigzagged": 46}
    members, values = listed(draw, lists, labels, "dtd/labels/{}1.txt", "dtd/images/{}", "")
    members |= {"dtd/images/waffled/.directory": b"x", "dtd/labels/train2.txt": b"x\n", "dtd/imdb/imdb.mat": b"x"}
    return StandIn({"dtd-r1.0.1.tar.gz": tarred(members)}, values)


@stand_in("food101")
def food101(draw: Draw) -> StandIn:
    """Lists of names without their ending, as text and as JSON."""
    lists = {"train": ["waffles/1005649", "apple_pie/1014775"], "test": ["apple_pie/1011328", "baby_back_ribs/9"]}
    labels = {"apple_pie": 0, "baby_back_ribs": 1, "waffles": 100}
    members, values = listed(draw, lists, labels, "food-101/meta/{}.txt", "food-101/images/{}", ".jpg")
    members |= {"food-101/meta/train.json": b"{}", "food-101/license_agreement.txt": b"x"}
    return StandIn({"food-101.tar.gz": tarred(members)}, values)


@stand_in("caltech256")
def caltech256(draw: Draw) -> StandIn:
    """A tar that is not compressed; some are gray, and a folder lies in one of them."""
    names = ["001.ak47/001_0001.jpg", "002.american-flag/002_0001.jpg", "257.clutter/257_0001.jpg"]
    members = {
        f"256_ObjectCategories/{name}": draw.picture("JPEG", 12, 10 + place, ("RGB", "L")[place % 2])
        for place, name in enumerate(names)
    }
    values = {
        "images": [decoded(data, "RGB") for data in members.values()],
        "category": [name.split("/")[0] for name in names],
    }
    members["256_ObjectCategories/056.dog/greg/vision309/x.m"] = b"x"
    return StandIn({"256_ObjectCategories.tar": tarred(members, "")}, {"all": values})


@stand_in("gtsrb")
def gtsrb(draw: Draw) -> StandIn:
    """A folder a sign to train on; a table, in an archive of its own, of those to test."""
    train = {
        f"GTSRB/Training/{label:05}/{track:05}_{number:05}.ppm": draw.picture("PPM", 15 + track, 16 + number)
        for label, track, number in [(0, 0, 0), (0, 0, 1), (14, 0, 0), (42, 1, 0)]
    }
    test = {f"GTSRB/Final_Test/Images/{number:05}.ppm": draw.picture("PPM", 15, 16 + number) for number in range(3)}
    labels = [42, 0, 14]
    rows = [f"{n:05}.ppm;{16 + n};15;5;5;10;10;{label}" for n, label in enumerate(labels)]
    header = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
    values = {
        "train": {"images": [decoded(data) for data in train.values()], "labels": np.array([0, 0, 14, 42])},
        "test": {"images": [decoded(data) for data in test.values()], "labels": np.array(labels)},
    }
    train |= {f"GTSRB/Training/{label:05}/GT-{label:05}.csv": b"Filename\n" for label in (0, 14, 42)}
    test |= {
        "GTSRB/Final_Test/Images/GT-final_test.test.csv": b"Filename\n",
        "GTSRB/Readme-Images-Final-test.txt": b"x",
    }
    files = {
        "GTSRB-Training_fixed.zip": zipped(train),
        "GTSRB_Final_Test_Images.zip": zipped(test),
        "GTSRB_Final_Test_GT.zip": zipped({"GT-final_test.csv": "\r\n".join([header, *rows, ""]).encode()}),
    }
    return StandIn(files, values)
