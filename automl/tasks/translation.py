"""A text in one language in, the same in another out."""

from typing import ClassVar

from automl.tasks.profile import Profile
from automl.tasks.task import Task

DIFFERENT, LEAST_RATIO, MOST_RATIO = 0.35, 0.4, 2.5


class Translation(Task):
    """Translation, scored by characters in common: chrF ranks small models more finely than BLEU (Popović, 2015)."""

    kind: ClassVar[str] = "translation"
    metrics: ClassVar[tuple[str, ...]] = ("chrf", "bleu", "ter")

    @classmethod
    def suits(cls, profile: Profile) -> str | None:
        """Say that both sides are running text of like length with few frequent words in common."""
        source, target = profile.source, profile.target
        if source is None or not (source.is_running_text and target.is_running_text):
            return None
        ratio = target.characters.mean / max(source.characters.mean, 1)
        if not LEAST_RATIO <= ratio <= MOST_RATIO or profile.common_words >= DIFFERENT:
            return None
        return f"running text of like length on both sides, with {profile.common_words:.0%} of frequent words in common"
