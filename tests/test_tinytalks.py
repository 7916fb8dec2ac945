"""TinyTalks is what its data card says: 350 sound pairs, fairly split, with right sums."""

from __future__ import annotations

import re
from collections import Counter
from itertools import accumulate
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "datasets" / "tinytalks"
FULL = "tinytalks_v1.txt"
SPLITS = ("train", "val", "test")
FILES = (FULL, *(f"splits/{name}.txt" for name in SPLITS))

# Written here once more, and not taken from the script or the manifest: those are what is being checked.
LEVELS = {
    FULL: (50, 100, 50, 100, 50),
    "splits/train.txt": (35, 70, 35, 70, 35),
    "splits/val.txt": (8, 15, 7, 15, 8),
    "splits/test.txt": (7, 15, 8, 15, 7),
}

# The first turn of every conversation of level 5: a witness for the lengths that create_splits.py declares.
OPENINGS = (
    "My dog is called Biscuit.",
    "I have a red kite and a blue ball.",
    "Can you tell me something about elephants?",
    "My favourite number is 8.",
    "We are planning a picnic for Saturday.",
    "What is the capital of Italy?",
    "I planted three sunflower seeds in a pot.",
    "My grandmother lives in Wales, and my uncle lives in Kenya.",
    "Let us make up a story about a dragon.",
    "I cannot choose between a book about sharks and a book about castles.",
    "Which star is closest to the Earth?",
    "I lost my left mitten in the garden.",
    "My brother Max is seven, and I am ten.",
    "We are having soup first and apple pie afterwards.",
    "Please remember the word lantern for me.",
    "I have a piano lesson on Tuesday and a swimming lesson on Friday.",
    "Why is the sky blue?",
    "I feel nervous about my spelling test tomorrow.",
    "Our class has a guinea pig named Pepper and a tortoise named Olive.",
    "I only have red, blue and white paint.",
)

Pair = tuple[str, str]

# Printable ASCII, no space at either end, never two spaces in a row.
LINE = rb"[!-~]+(?: [!-~]+)*"
PAIR = re.compile(rb"Q: (" + LINE + rb")\nA: (" + LINE + rb")\n")


def parse(content: bytes) -> list[Pair]:
    """Read a file by the letter of its grammar: pairs, exactly one blank line between two, nothing else."""
    pairs = []
    position = 0
    while True:
        match = PAIR.match(content, position)
        assert match, f"no pair at byte {position}: {content[position : position + 60]!r}"
        pairs.append((match[1].decode("ascii"), match[2].decode("ascii")))
        position = match.end()
        if position == len(content):
            return pairs
        assert content[position : position + 1] == b"\n", f"no blank line at byte {position}"
        position += 1


def pairs_of(file: str) -> list[Pair]:
    """The pairs of one of the four files, in order."""
    return parse((FOLDER / file).read_bytes())


def level(number: int, file: str = FULL) -> list[Pair]:
    """The pairs of one level, 1 to 5, by count: the text does not say where a level ends."""
    ends = list(accumulate(LEVELS[file], initial=0))
    return pairs_of(file)[ends[number - 1] : ends[number]]


def bare(text: str) -> str:
    """Letters and digits only, in one case: casing, spacing and punctuation do not count."""
    return "".join(c for c in text.casefold() if c.isalnum())


def words(text: str) -> list[str]:
    """The words of a text in lower case, without what stands between them."""
    return re.findall(r"[a-z]+", text.casefold())


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """create_splits.py, run as a module without leaving a __pycache__ among the shipped files."""
    path = FOLDER / "create_splits.py"
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)
    return module


class TestTheForm:
    """Plain text that a ten-line parser reads: ASCII, LF, one blank line between pairs, levels by count."""

    @pytest.mark.parametrize("file", FILES)
    def test_the_grammar_holds_to_the_last_byte(self, file: str) -> None:
        """Each file is pairs and single blank lines, with as many pairs as its levels add up to."""
        assert len(pairs_of(file)) == sum(LEVELS[file])

    def test_the_size_is_as_announced(self) -> None:
        """The full file has 38 to 42 kB, 1 kB being 1000 bytes."""
        assert 38_000 <= (FOLDER / FULL).stat().st_size <= 42_000

    @pytest.mark.parametrize(
        "spoilt",
        [
            b"",
            b"Q: One?\nA: Two.",
            b"Q: One?\r\nA: Two.\r\n",
            b"Q: One? \nA: Two.\n",
            b"Q: One?\nA: Two.\n\n",
            b"Q: One?\nA: Two.\nQ: Three?\nA: Four.\n",
            b"Q: One?\nA: Two.\n\n\nQ: Three?\nA: Four.\n",
            b"Q: One?\nA: Tw\xc3\xb6.\n",
            b"\xef\xbb\xbfQ: One?\nA: Two.\n",
        ],
    )
    def test_the_parser_of_this_test_is_strict(self, spoilt: bytes) -> None:
        """What the grammar does not allow is refused, so that the tests above mean something."""
        with pytest.raises(AssertionError):
            parse(spoilt)


class TestThePairs:
    """Every pair is worth its place: nothing is said twice, and nothing is said badly."""

    def test_no_question_is_asked_twice(self) -> None:
        """No two questions differ only in casing, spacing or punctuation."""
        counts = Counter(bare(question) for question, _ in pairs_of(FULL))

        assert [question for question, count in counts.items() if count > 1] == []

    def test_no_answer_is_given_twice(self) -> None:
        """No two answers differ only in casing, spacing or punctuation; so no pair is there twice either."""
        counts = Counter(bare(answer) for _, answer in pairs_of(FULL))

        assert [answer for answer, count in counts.items() if count > 1] == []

    def test_questions_and_answers_are_whole_sentences_to_the_eye(self) -> None:
        """They start with a capital (or, in level 3, with a number) and end with a full stop, ! or ?."""
        for number in range(1, 6):
            for question, answer in level(number):
                assert re.fullmatch(r"[A-Z].*[.!?]", question), question
                assert re.fullmatch(r"[A-Z0-9].*[.!?]" if number == 3 else r"[A-Z].*[.!?]", answer), answer

    def test_answers_have_at_least_three_words(self) -> None:
        """A sentence, not a cry: the shortest answers still say something."""
        assert [answer for _, answer in pairs_of(FULL) if len(answer.split()) < 3] == []

    def test_answers_open_in_many_ways(self) -> None:
        """Outside arithmetic, no first two words begin more than 10 % of the answers, no first word 15 %."""
        answers = [answer for number in (1, 2, 4, 5) for _, answer in level(number)]
        two = Counter(tuple(words(answer)[:2]) for answer in answers)
        one = Counter(words(answer)[0] for answer in answers)

        assert two.most_common(1)[0][1] <= 0.10 * len(answers)
        assert one.most_common(1)[0][1] <= 0.15 * len(answers)

    def test_tinybot_gives_its_name(self) -> None:
        """Asked for its name it says it, in training too; no other spelling of the name occurs."""
        assert "My name is TinyBot." in dict(level(1, "splits/train.txt"))["What is your name?"]
        text = (FOLDER / FULL).read_text(encoding="ascii")
        assert len(re.findall("tiny ?bot", text, re.IGNORECASE)) == text.count("TinyBot") >= 8

    @pytest.mark.parametrize(
        "claim",
        [
            r"\bi am (?:a |an )?(?:human|person|man|woman|boy|girl|child|animal|robot)\b",
            r"\bmy (?:body|hands?|eyes?|ears?|mouth|mother|father|bed|birthday|school)\b",
            r"\bi (?:eat|ate|drink|drank|walk|walked|sleep|slept|see|saw|hear|heard|smell|taste|feel)\b",
            r"\bit is (?:now )?(?:\w+ o'clock|noon|midnight|sunny|raining|cloudy|snowing)\b",
            r"\btoday is\b",
        ],
    )
    def test_tinybot_does_not_pretend(self, claim: str) -> None:
        """It has no body and no clock, cannot see the sky, and never says otherwise."""
        assert [answer for _, answer in pairs_of(FULL) if re.search(claim, answer.casefold())] == []

    def test_no_word_is_unfit_for_a_child(self) -> None:
        """Nothing rude, cruel or meant for grown-ups."""
        unfit = words(
            "alcohol ass bastard beer bloody bomb cigarette corpse crap cruel damn devil drug drugs drunk "
            "dumb fat gun guns hate hell idiot kiss knife loser moron murder naked poison pub rude sex sexy "
            "shut stupid suicide torture ugly vodka whisky wine"
        )

        assert set(unfit).isdisjoint(words((FOLDER / FULL).read_text(encoding="ascii")))

    def test_no_word_says_that_a_fact_will_age(self) -> None:
        """Facts are timeless: nothing is current, newest or a record, and nobody holds an office."""
        ageing = words(
            "champion current currently latest minister newest nowadays president prime recent recently "
            "record records reigning"
        )

        assert set(ageing).isdisjoint(words((FOLDER / FULL).read_text(encoding="ascii")))

    def test_the_spelling_is_british(self) -> None:
        """Words that the two spellings share out differently are spelt the British way."""
        american = words(
            "airplane armor behavior center centimeter centimeters color colored colors favor favorite fiber "
            "flavor gray harbor honor jewelry kilometer kilometers liter math meter meters mold mom neighbor "
            "neighbors pajamas plow practicing realize recognize sidewalk soccer theater tire tires traveled "
            "traveler vapor woolen"
        )

        assert set(american).isdisjoint(words((FOLDER / FULL).read_text(encoding="ascii")))


# Each kind of sum: the question, the sign, and the whole answer that the worked-out sum must give. The verbs
# are listed because they decide between plus and minus; a new verb has to be thought about here.
N = r"(0|[1-9]\d*)"
SUMS: dict[str, tuple[str, str, str]] = {
    "plus": (rf"What is {N} plus {N}\?", "plus", "{0} plus {1} is {r}."),
    "minus": (rf"What is {N} minus {N}\?", "minus", "{0} minus {1} is {r}."),
    "times": (rf"What is {N} times {N}\?", "times", "{0} times {1} is {r}."),
    "divided": (rf"What is {N} divided by {N}\?", "divided by", "{0} divided by {1} is {r}."),
    "more": (
        rf"(?P<who>[A-Z][a-z]+) has {N} (?P<what>[a-z]+) and (?:buys|finds|gets|makes|picks) {N} more\. "
        r"How many (?P=what) does (?P=who) have now\?",
        "plus",
        "{who} now has {r} {what}, because {0} plus {1} is {r}.",
    ),
    "left": (
        rf"[A-Z][a-z]+ has {N} (?P<what>[a-z]+) and (?:eats|gives away|loses|plants|sells) {N}\. "
        r"How many (?P=what) are left\?",
        "minus",
        "There are {r} {what} left, because {0} minus {1} is {r}.",
    ),
    "in all": (
        rf"There are {N} [a-z]+ with {N} (?P<what>[a-z]+) in each\. How many (?P=what) are there in all\?",
        "times",
        "There are {r} {what} in all, because {0} times {1} is {r}.",
    ),
    "shared": (
        rf"If {N} (?P<what>[a-z]+) are shared equally by {N} [a-z]+, "
        r"how many does each (?P<who>[a-z]+) get\?",
        "divided by",
        "Each {who} gets {r} {what}, because {0} divided by {1} is {r}.",
    ),
}


def work_out(question: str) -> tuple[str, str]:
    """Say which kind of sum a question asks for, and the answer it must have, from the question alone."""
    matches = {kind: match for kind, (ask, _, _) in SUMS.items() if (match := re.fullmatch(ask, question))}
    assert len(matches) == 1, f"not exactly one kind of sum: {question}"
    ((kind, match),) = matches.items()
    _, sign, form = SUMS[kind]
    named = match.groupdict()
    left, right = (int(text) for text in match.groups() if text not in named.values())
    if sign == "divided by":
        result, rest = divmod(left, right)
        assert rest == 0, f"not an exact division: {question}"
    else:
        result = {"plus": left + right, "minus": left - right, "times": left * right}[sign]
    assert result >= 0, f"below nothing: {question}"
    return kind, form.format(left, right, r=result, **named)


class TestArithmetic:
    """Level 3 is right, in every sum, and the same patterns serve for learning and for testing."""

    def test_every_sum_is_right(self) -> None:
        """Worked out from its question alone, each sum gives the whole answer, word for word."""
        pairs = level(3)

        assert [answer for _, answer in pairs] == [work_out(question)[1] for question, _ in pairs]
        assert len(pairs) == 50

    def test_no_other_question_is_a_sum_in_disguise(self) -> None:
        """Outside level 3, no question has one of its forms, so that none escapes the check above."""
        others = [question for number in (1, 2, 4, 5) for question, _ in level(number)]

        assert [q for q in others if any(re.fullmatch(ask, q) for ask, _, _ in SUMS.values())] == []

    def test_no_sum_is_set_twice_in_plain_numbers(self) -> None:
        """The bare sums are different ones even when turned round: 7 plus 5 is there, 5 plus 7 is not."""
        plain = [question for question, _ in level(3) if question.startswith("What is")]
        counts = Counter(tuple(sorted(re.findall(r"\d+|plus|minus|times|divided", q))) for q in plain)

        assert [parts for parts, count in counts.items() if count > 1] == []

    @pytest.mark.parametrize("held_back", ["splits/val.txt", "splits/test.txt"])
    def test_what_is_tested_can_be_learned(self, held_back: str) -> None:
        """Every kind of sum that is held back occurs at least three times in training."""
        trained = Counter(work_out(question)[0] for question, _ in level(3, "splits/train.txt"))
        tested = Counter(work_out(question)[0] for question, _ in level(3, held_back))

        assert set(trained) == set(SUMS)
        assert {kind: trained[kind] for kind in tested if trained[kind] < 3} == {}

    @pytest.mark.parametrize("held_back", ["splits/val.txt", "splits/test.txt"])
    def test_most_kinds_of_sum_are_tested(self, held_back: str) -> None:
        """Each held-back split meets all four signs, in plain numbers or in words."""
        assert {SUMS[work_out(question)[0]][1] for question, _ in level(3, held_back)} == {
            "plus",
            "minus",
            "times",
            "divided by",
        }


class TestTheSplits:
    """The splits share the pairs out: each pair once, each level in proportion, no conversation torn."""

    def test_every_pair_is_in_exactly_one_split(self) -> None:
        """Together the splits are the full file, nothing missing, nothing twice."""
        together = [pair for name in SPLITS for pair in pairs_of(f"splits/{name}.txt")]

        assert Counter(together) == Counter(pairs_of(FULL))

    @pytest.mark.parametrize("name", SPLITS)
    def test_the_order_is_that_of_the_full_file(self, name: str) -> None:
        """Within a split the pairs stand as in the full file, so its levels go from 1 to 5."""
        order = {pair: position for position, pair in enumerate(pairs_of(FULL))}
        positions = [order[pair] for pair in pairs_of(f"splits/{name}.txt")]

        assert positions == sorted(positions)

    @pytest.mark.parametrize("name", SPLITS)
    def test_each_level_has_its_share(self, name: str) -> None:
        """By where its pairs stand in the full file, the split has the declared number of each level."""
        level_of = {pair: number for number in range(1, 6) for pair in level(number)}
        counts = Counter(level_of[pair] for pair in pairs_of(f"splits/{name}.txt"))

        assert tuple(counts[number] for number in range(1, 6)) == LEVELS[f"splits/{name}.txt"]

    def test_the_declared_lengths_cut_between_conversations(self, script: ModuleType) -> None:
        """Where create_splits.py says that a conversation begins, its known first turn stands."""
        starts = list(accumulate(script.CONVERSATIONS, initial=0))
        questions = [question for question, _ in level(5)]

        assert starts[-1] == len(questions)
        assert tuple(questions[start] for start in starts[:-1]) == OPENINGS

    def test_every_conversation_has_two_or_three_turns(self, script: ModuleType) -> None:
        """One turn would have no context, and more would be long for a small model."""
        assert set(script.CONVERSATIONS) == {2, 3}

    def test_no_conversation_is_torn(self, script: ModuleType) -> None:
        """All turns of a conversation are in one split, one after the other."""
        turns = level(5)
        for end, length in zip(accumulate(script.CONVERSATIONS), script.CONVERSATIONS, strict=True):
            conversation = turns[end - length : end]
            homes = [name for name in SPLITS if conversation[0] in pairs_of(f"splits/{name}.txt")]
            assert len(homes) == 1
            split = pairs_of(f"splits/{homes[0]}.txt")
            at = split.index(conversation[0])
            assert split[at : at + length] == conversation

    def test_training_meets_every_character(self) -> None:
        """A vocabulary built on the training split covers the other two."""
        train, val, test = (set((FOLDER / f"splits/{name}.txt").read_bytes()) for name in SPLITS)

        assert val | test <= train


class TestTheScript:
    """create_splits.py makes the committed splits from the full file, today and in ten years."""

    def test_a_rebuild_is_byte_for_byte_the_committed_data(self, script: ModuleType, tmp_path: Path) -> None:
        """All three files come out as they are in the repository, in a folder that was not there before."""
        script.write(tmp_path / "new folder")

        made = {path.name: path.read_bytes() for path in (tmp_path / "new folder").iterdir()}
        assert made == {f"{name}.txt": (FOLDER / f"splits/{name}.txt").read_bytes() for name in SPLITS}

    def test_the_script_says_what_it_wrote(
        self, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One line for each file, with the number of its pairs; exit 0."""
        assert script.main([str(tmp_path)]) == 0

        expected = [f"{tmp_path / name}.txt: {sum(LEVELS[f'splits/{name}.txt'])} pairs" for name in SPLITS]
        assert capsys.readouterr().out.splitlines() == expected

    def test_a_wrong_call_exits_2(self, script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
        """Two folders are one too many."""
        assert script.main(["one", "two"]) == 2

        assert capsys.readouterr().err == "usage: python create_splits.py [FOLDER]\n"

    def test_a_group_that_would_leave_a_hole_is_passed_over(self, script: ModuleType) -> None:
        """Of four pairs, three would leave room for one, which no conversation fits: take two and two."""
        assert script.take(4, [[0, 1, 2], [3, 4], [5, 6]]) == [[3, 4], [5, 6]]

    def test_a_split_that_cannot_come_out_even_is_refused(self, script: ModuleType) -> None:
        """Five pairs cannot be made of conversations of two: the script says so and writes nothing."""
        with pytest.raises(ValueError, match=r"^No choice of whole groups comes out even: 3 pairs are"):
            script.take(5, [[0, 1], [2, 3], [4, 5]])

    def test_a_file_out_of_step_with_the_declared_counts_is_refused(self, script: ModuleType) -> None:
        """A pair added without declaring its level would shift every later one into the wrong level."""
        with pytest.raises(ValueError, match=r"^tinytalks_v1\.txt holds 351 pairs and LEVELS declares 350"):
            script.groups_by_level(["Q: One?\nA: Two.\n"] * 351)


class TestTheDataCard:
    """README.md says what the files hold."""

    card = (FOLDER / "README.md").read_text(encoding="utf-8")

    def rows(self, first: str) -> list[list[str]]:
        """The rows of the table whose head begins with this word, as lists of cells."""
        table = re.search(rf"^\| {first} .*\n\|[-|]+\n((?:\|.*\n)+)", self.card, re.MULTILINE)
        assert table
        return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()]

    def test_its_table_of_levels_is_counted(self) -> None:
        """Pairs of each level in each split and in all, and the sums at the foot."""
        files = ("splits/train.txt", "splits/val.txt", "splits/test.txt", FULL)
        body, foot = self.rows("level")[:-1], self.rows("level")[-1]

        assert [row[0] for row in body] == ["1", "2", "3", "4", "5"]
        for row in body:
            assert [int(cell) for cell in row[2:6]] == [len(level(int(row[0]), file)) for file in files]
        assert [int(cell) for cell in foot[2:6]] == [len(pairs_of(file)) for file in files]

    def test_its_examples_are_of_their_level(self) -> None:
        """The example of each level is a training question of that level: no test is given away."""
        for row in self.rows("level")[:-1]:
            assert row[6] in dict(level(int(row[0]), "splits/train.txt"))

    def test_its_table_of_files_is_measured(self) -> None:
        """Pairs and bytes of all four files."""
        measured = [[file, str(len(pairs_of(file))), str((FOLDER / file).stat().st_size)] for file in FILES]

        assert self.rows("file") == measured

    def test_its_number_of_characters_is_counted(self) -> None:
        """The size of the vocabulary is that of the full file."""
        count = len(set((FOLDER / FULL).read_bytes()))

        assert f"The text uses {count} different characters," in self.card

    def test_its_code_and_its_format_example_quote_the_training_split(self) -> None:
        """The pair in the code is the first of train.txt; the two that show the format are in it too."""
        question, answer = pairs_of("splits/train.txt")[0]
        example = re.search(r"^```\n(Q: .*?\n)```$", self.card, re.MULTILINE | re.DOTALL)

        assert f"questions[0]  # {question!r}\n" in self.card
        assert f"answers[0]  # {answer!r}\n" in self.card
        assert example
        assert set(parse(example[1].encode("ascii"))) <= set(pairs_of("splits/train.txt"))

    def test_the_license_is_cc_by_4_and_says_whom_to_name(self) -> None:
        """Card and LICENSE agree, and LICENSE links the legal code and has the attribution to copy."""
        terms = (FOLDER / "LICENSE").read_text(encoding="utf-8")

        assert "CC BY 4.0" in self.card
        assert "https://creativecommons.org/licenses/by/4.0/legalcode" in terms
        assert '"TinyTalks" by the tinytorch-datasets authors, licensed under CC BY 4.0' in terms
