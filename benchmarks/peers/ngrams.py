"""A character n-gram model with interpolated Kneser-Ney smoothing (Chen and Goodman, 1999)."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

BEGIN, END = "\x02", "\x03"


class KneserNey:
    """An n-gram model of characters that was counted on some texts, with one absolute discount for each order."""

    def __init__(self, texts: Iterable[str], order: int = 5) -> None:
        self.order = order
        self.counts: list[defaultdict[str, Counter[str]]] = [defaultdict(Counter) for _ in range(order)]
        for text in texts:
            line = BEGIN * (order - 1) + text + END
            for place in range(order - 1, len(line)):
                self.counts[order - 1][line[place - order + 1 : place]][line[place]] += 1
        for length in range(order - 1, 0, -1):  # a lower order counts in how many contexts a character was seen
            for context, following in self.counts[length].items():
                for character in following:
                    self.counts[length - 1][context[1:]][character] += 1
        self.discounts = [_discount(each.values()) for each in self.counts]
        self.characters = len(self.counts[0][""]) + 1  # one for whatever was never seen

    def probability(self, context: str, character: str) -> float:
        """Return the probability of a character after the last `order - 1` ones."""
        found = 1 / self.characters
        for length in range(self.order):
            following = self.counts[length].get(context[len(context) - length :] if length else "")
            if following is None:
                break
            total, discount = following.total(), self.discounts[length]
            own = max(following.get(character, 0) - discount, 0.0)
            found = (own + discount * len(following) * found) / total
        return found

    def bits_per_character(self, texts: Sequence[str]) -> float:
        """Return the bits that a character of some texts takes; the end of a text counts as one."""
        bits, characters = 0.0, 0
        for text in texts:
            line = BEGIN * (self.order - 1) + text + END
            for place in range(self.order - 1, len(line)):
                bits -= math.log2(self.probability(line[place - self.order + 1 : place], line[place]))
            characters += len(text) + 1
        return bits / max(characters, 1)


def _discount(followings: Iterable[Counter[str]]) -> float:
    ones = twos = 0
    for following in followings:
        values = list(following.values())
        ones += values.count(1)
        twos += values.count(2)
    return ones / (ones + 2 * twos) if ones and twos else 0.5
