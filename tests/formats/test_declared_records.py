"""JSON Lines, JSON and ARFF as a manifest declares them, by `get`."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.test_json import SQUAD
from tests.helpers.declared import declare, made, plain
from tinytorch_datasets import load_manifest
from tinytorch_datasets.errors import ContentError, DecodeError, ManifestError

REAL = Path(os.environ.get("TINYTORCH_DATASETS_REALDATA", "nowhere")) / "formats"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")

REVIEWS = "".join(
    json.dumps(record) + "\n"
    for record in (
        {"id": 7, "text": "good", "sentiment": "pos", "stars": 4.5, "meta": {"words": [3, 1]}, "w": 1, "h": 2},
        {"id": 8, "text": "bad", "sentiment": "neg", "stars": None, "meta": {"words": []}, "w": 3, "h": 4},
        {"id": 9, "text": "so", "sentiment": "neg", "meta": {"words": [5]}, "w": 5, "h": 6},
    )
)


class TestLines:
    """Reviews, a record a line."""

    def test_fields_of_every_kind(self, tmp_path: Path) -> None:
        """Texts, labels by what is stored, gaps, lists of differing lengths, and two columns as one field."""
        data = made(
            tmp_path,
            """
            format: jsonl
            fields:
              text: {dtype: str}
              words: {dtype: int64, shape: [null]}
              stars: {dtype: float64, missing: [null]}
              size: {dtype: int64, shape: [2], names: [width, height]}
              labels: {dtype: int64, classes: [negative, positive], values: [neg, pos]}
            splits:
              train:
                samples: 3
                file: r.jsonl
                words: meta.words
                size: {file: r.jsonl, column: [w, h]}
                labels: sentiment
            """,
            r_jsonl=REVIEWS,
        )

        assert list(data.train.text) == ["good", "bad", "so"]
        assert [row.tolist() for row in data.train.words] == [[3, 1], [], [5]]
        np.testing.assert_array_equal(data.train.stars, [4.5, np.nan, np.nan])
        assert plain(data.train.size) == [[1, 2], [3, 4], [5, 6]]
        assert plain(data.train.labels) == [1, 0, 0]
        assert data.classes == ("negative", "positive")

    def test_a_split_is_a_part_of_the_lines(self, tmp_path: Path) -> None:
        """By the rows, as in any format."""
        data = made(
            tmp_path,
            """
            format: jsonl
            fields: {text: {dtype: str}, id: {dtype: uint8}}
            splits:
              train: {samples: 2, file: r.jsonl, rows: [0, 2], stored_samples: 3}
              test: {samples: 1, file: r.jsonl, rows: [2, 3], stored_samples: 3}
            """,
            r_jsonl=REVIEWS,
        )

        assert (list(data.train.text), plain(data.test.id)) == (["good", "bad"], [9])

    def test_a_label_that_is_no_class(self, tmp_path: Path) -> None:
        """The class, and what the file has."""
        with pytest.raises(ContentError, match="pos"):
            made(
                tmp_path,
                """
                format: jsonl
                fields: {text: {dtype: str}, sentiment: {dtype: int64, classes: [neg, good]}}
                splits: {train: {samples: 3, file: r.jsonl}}
                """,
                r_jsonl=REVIEWS,
            )


class TestDocuments:
    """One document, the records deep inside."""

    def test_squad(self, tmp_path: Path) -> None:
        """Questions, their first answers, and the paragraph and the title that stand above them."""
        squad: Any = copy.deepcopy(SQUAD)
        squad["data"][0]["paragraphs"][1]["qas"][0]["answers"] = [{"text": "hot", "answer_start": 6}]
        data = made(
            tmp_path,
            """
            format: json
            options:
              records: [data, paragraphs, qas]
              parents: {context: data.paragraphs.context, title: [data, title]}
            fields:
              context: {dtype: str}
              title: {dtype: str}
              question: {dtype: str}
              answer: {dtype: str}
              starts: {dtype: int64, shape: [null]}
            splits: {train: {samples: 3, file: s.json, answer: answers.0.text, starts: answers.answer_start}}
            """,
            s_json=json.dumps(squad),
        )

        assert list(data.train.question) == ["Size?", "Small?", "Hot?"]
        assert list(data.train.context) == ["It is small.", "It is small.", "It is hot."]
        assert list(data.train.title) == ["Mercury"] * 3
        assert list(data.train.answer) == ["small", "It", "hot"]
        assert [row.tolist() for row in data.train.starts] == [[6], [0, 3], [6]]

    def test_a_wrong_path_is_reported_with_what_there_is(self, tmp_path: Path) -> None:
        """At `get`, since only the file knows."""
        with pytest.raises(DecodeError, match=r"nothing at 'dta'.*did you mean 'data'"):
            made(
                tmp_path,
                """
                format: json
                options: {records: dta}
                fields: {title: {dtype: str}}
                splits: {train: {samples: 2, file: s.json}}
                """,
                s_json=json.dumps(SQUAD),
            )

    def test_options_are_checked_before_anything_is_fetched(self, tmp_path: Path) -> None:
        """With the line of the manifest."""
        manifest = declare(
            tmp_path,
            """
            format: json
            options: {records: [data, ""], parents: {titel: data.title}}
            fields: {title: {dtype: str}}
            splits: {train: {samples: 2, file: s.json}}
            """,
            s_json=json.dumps(SQUAD),
        )

        with pytest.raises(ManifestError) as caught:
            load_manifest(manifest)

        assert {problem.what for problem in caught.value.problems} == {
            "a path has a key between its dots, and at its ends",
            "no field of that name; did you mean 'title'?",
        }


@real
class TestRealFiles:
    """Declared by YAML alone."""

    def test_iris_of_json(self, tmp_path: Path) -> None:
        """Four columns as the features, the species as labels."""
        data = made(
            tmp_path,
            """
            format: json
            fields:
              features: {dtype: float64, shape: [4]}
              labels: {dtype: int64, classes: [setosa, versicolor, virginica]}
            splits:
              train:
                samples: 150
                file: iris.json
                features: {file: iris.json, column: [Sepal.Length, Sepal.Width, Petal.Length, Petal.Width]}
                labels: Species
            """,
            iris_json=(REAL / "jsonl" / "iris.json").read_bytes(),
        )
        expected = json.loads((REAL / "jsonl" / "iris.json").read_bytes())

        assert plain(data.train.features) == [list(record.values())[:4] for record in expected]
        assert plain(data.train.labels) == [0] * 50 + [1] * 50 + [2] * 50

    def test_votes_of_arff(self, tmp_path: Path) -> None:
        """Counts are those of the Machine Learning Repository; a question mark may be a class of its own."""
        data = made(
            tmp_path,
            """
            format: arff
            fields:
              crime: {dtype: int64, classes: [nay, yea, abstained], values: ["n", "y", "?"]}
              labels: {dtype: int64, classes: [democrat, republican]}
            splits: {train: {samples: 435, file: vote.arff, labels: Class}}
            """,
            vote_arff=(REAL / "arff" / "vote.arff").read_bytes(),
        )

        assert np.bincount(data.train.labels).tolist() == [267, 168]
        assert np.bincount(data.train.crime).tolist() == [170, 248, 17]
