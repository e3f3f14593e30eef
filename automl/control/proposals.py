"""What to try next: the defaults of each family, what earlier searches found, then draws of several kinds."""

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import attrgetter, is_
from random import Random

from automl.control.draws import Evenly, Near
from automl.control.ranking import Standings, Tried
from automl.control.sampler import STARTUP_TRIALS, Sampler, derived_seed
from search_spaces.seq2seq import RECIPE, Seq2Seq, without_recipe
from search_spaces.spaces import Space
from storage.trials import WIDER

REDRAWS = 10
"""A kind of draw is given up after so many times the draws that are wanted of it."""
BEST = 3
"""Neighbours of so many are drawn."""
TURNED = 1.5
"""Dials in which a neighbour differs, in the middle."""
RECIPES, SAMPLED, NEIGHBOURS, RANDOM = 6, 2, 32, 64
"""Configurations of each kind to choose among."""

SCORE, CONFIGURATION = attrgetter("score"), attrgetter("configuration")


@dataclass(frozen=True)
class Proposal:
    """A configuration and where it comes from.

    One of `default`, `family default`, `earlier search`, `recipe`, `sampler`, `neighbour`, `random` and `wider`, which
    is a wider version of another configuration: that of the best trial.
    """

    configuration: Seq2Seq
    origin: str
    wider_than: Seq2Seq | None = None


class Proposals:
    """Proposes configurations of a space; the same trials, seed and calls, from the first on, give the same ones.

    First come the defaults: of the space, of each family, then what was best in earlier searches, and beside each other
    recipes for the architecture that leads, whose programs are compiled already. After some trials there is all to
    choose among: what is left of those, and draws from Optuna's TPE, from the neighbourhood of the best and evenly.

    Configurations that are not `admissible` are never proposed. The trials are given in the order in which they began.

    Attributes:
        earlier: What was best in earlier searches on data that looks alike, the best first.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        admissible: Callable[[Seq2Seq], bool] = lambda _: True,
        earlier: Sequence[Seq2Seq] = (),
    ) -> None:
        self._space = space
        self._seed = seed
        self._admissible = admissible
        self.earlier = earlier
        self._proposed: tuple[object, list[Proposal]] = (None, [])
        self._ahead: Callable[[], None] = _nothing
        self._standings = Standings()
        self._sampler = Sampler(space, seed, admissible)
        self._seen: list[Seq2Seq] = []
        self._known: set[Seq2Seq] = set()
        self._models: set[Hashable] = set()
        self._modelled = 0
        self._defaults = space.defaults()
        self._recipes = lru_cache(maxsize=1)(lambda best: space.around(best, RECIPE))

    def propose(self, tried: Sequence[Tried]) -> list[Proposal]:
        """Return different configurations to choose among; none if no admissible one can be found.

        None of them has been tried, unless the space has no other.
        """
        scores = list(map(SCORE, tried))
        scored = list(itertools.compress(tried, scores))
        places = self._standings.ordered(list(filter(None, scores)))
        best = [scored[place].configuration for place in places[:BEST]]
        key = (len(tried), *best)
        if self._proposed[0] != key:
            self._proposed = (key, self._choose(tried, best, places))
        return self._proposed[1]

    def prepare(self) -> None:
        """Do ahead what the choice after the next trial would need; to be called when nobody waits."""
        ahead, self._ahead = self._ahead, _nothing
        ahead()

    def _choose(self, tried: Sequence[Tried], best: Sequence[Seq2Seq], places: Sequence[int]) -> list[Proposal]:
        known = self._known_from(tried)
        found: dict[Seq2Seq, str] = {}
        firsts = [p for p in self._firsts() if p.configuration not in known]
        if firsts and not best:
            return firsts[:1]
        wide = not firsts or len(tried) >= STARTUP_TRIALS
        for first in firsts if wide else firsts[:1]:
            found[first.configuration] = first.origin
        repeated: list[Seq2Seq] = []
        for origin, wanted, draws in self._draws(tried, best, places, wide=wide):
            count = 0
            for configuration in itertools.islice(draws, wanted * REDRAWS):
                if not self._admissible(configuration):
                    continue
                if configuration in known:
                    repeated.append(configuration)
                else:
                    before = len(found)
                    found.setdefault(configuration, origin)
                    count += len(found) - before
                if count == wanted:
                    break
        if not found and repeated:
            found[repeated[-1]] = "sampler"
        wider = self._wider(best)
        for proposal in wider:
            found.pop(proposal.configuration, None)
        return [*(Proposal(configuration, origin) for configuration, origin in found.items()), *wider]

    def _wider(self, best: Sequence[Seq2Seq]) -> list[Proposal]:
        """Return the wider version of the best trial, if it may be tried and no recipe has been tried with it."""
        wider = self._space.wider(best[0]) if best else None
        if wider is None:
            return []
        self._models.update(map(without_recipe, self._seen[self._modelled :]))
        self._modelled = len(self._seen)
        if without_recipe(wider) in self._models or not self._admissible(wider):
            return []
        return [Proposal(wider, WIDER, best[0])]

    def _known_from(self, tried: Sequence[Tried]) -> set[Seq2Seq]:
        """Return what was tried; only what is new is looked at, since there may be very many."""
        if len(tried) < len(self._seen) or not all(map(is_, map(CONFIGURATION, tried), self._seen)):
            self._seen, self._known, self._models, self._modelled = [], set(), set(), 0
        new = [t.configuration for t in tried[len(self._seen) :]]
        self._seen += new
        self._known.update(new)
        return self._known

    def _firsts(self) -> Iterator[Proposal]:
        for configuration in self._defaults:
            if self._admissible(configuration):
                yield Proposal(configuration, "default" if configuration is self._defaults[0] else "family default")
        for configuration in self.earlier:
            if self._admissible(configuration):
                yield Proposal(configuration, "earlier search")

    def _draws(
        self, tried: Sequence[Tried], best: Sequence[Seq2Seq], places: Sequence[int], *, wide: bool
    ) -> Iterator[tuple[str, int, Iterator[Seq2Seq]]]:
        """Yield each kind of draw: its name, how many are wanted, and a source of them."""
        draw = Random(derived_seed(self._seed, len(tried)))  # noqa: S311
        if best:
            recipes = self._recipes(best[0])
            yield "recipe", RECIPES, (recipes.sample(Evenly(draw)) for _ in itertools.count())
        if not wide:
            return
        if best:
            self._ahead = partial(self._sampler.prepare, tried, self._known, places)
            yield "sampler", SAMPLED, self._sampler.draws(tried, self._known, places)
            yield "neighbour", NEIGHBOURS, self._neighbours(best, draw)
        yield "random", RANDOM, (self._space.sample(Evenly(draw)) for _ in itertools.count())

    def _neighbours(self, best: Sequence[Seq2Seq], draw: Random) -> Iterator[Seq2Seq]:
        parameters = [self._space.parameters(configuration) for configuration in best]
        while True:
            chosen = draw.choice(parameters)
            yield self._space.sample(Near(draw, chosen, rate=TURNED / max(len(chosen), TURNED)))


def _nothing() -> None: ...
