"""A trigram model, for a transformer to be measured against."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence


class Trigram:
    """The probability of a character after the two before it, counted in the texts that it is given.

    Counts of three, two and one characters are mixed by Witten and Bell's rule (1991): the more different characters
    have followed a context, the more weight goes to the shorter one. There is no number to choose, on any data.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.characters = sorted(set("".join(texts)))
        self._seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for text in texts:
            padded = "\n\n" + text
            for end in range(2, len(padded)):
                for length in range(3):
                    self._seen[padded[end - length : end]][padded[end]] += 1

    def probability(self, character: str, context: str) -> float:
        """How likely the character is after the context, of which the last two characters count.

        >>> round(Trigram(["aab"]).probability("b", "aa"), 3)
        0.743
        """
        context = context[-2:]
        shorter = self.probability(character, context[1:]) if context else 1 / len(self.characters)
        seen = self._seen.get(context)
        if not seen:
            return shorter
        return (seen[character] + len(seen) * shorter) / (seen.total() + len(seen))

    def loss(self, texts: Sequence[str]) -> float:
        """The mean of minus the logarithm of the probability, in nats per character."""
        bits = [
            -math.log(self.probability(text[place], ("\n\n" + text)[place : place + 2]))
            for text in texts
            for place in range(len(text))
        ]
        return sum(bits) / len(bits)
