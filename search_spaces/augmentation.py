"""Augmentation: how images of train are varied each time they are seen."""

from dataclasses import dataclass

from search_spaces.dials import choice, later, uniform


@dataclass(frozen=True)
class Unchanged:
    """What is read is read as it is, which variation has to be better than (Simard et al., 2003)."""


@dataclass(frozen=True)
class Varied:
    """Each image is moved, zoomed, mirrored and lit anew (Krizhevsky et al., 2012, 4.1) and covered in part, at random.

    Shares of a side (`shift`, `zoom`), of full brightness, of the contrast; `erasing` is how often a rectangle is
    covered (Zhong et al., 2020). At 0 each does nothing. With `noise_objects` boxes are followed by some that are none,
    which a model learns to tell from the others, so that it does not end too early (Chen et al., 2022, Pix2Seq, 3.2).
    """

    shift: float = uniform(0.05, 0.0, 0.2)
    zoom: float = uniform(0.0, 0.0, 0.3)
    flip: bool = choice(False, False, True)
    brightness: float = uniform(0.0, 0.0, 0.3)
    contrast: float = uniform(0.0, 0.0, 0.5)
    erasing: float = uniform(0.0, 0.0, 0.5)
    noise_objects: bool = later(False, False, True)


Augmentation = Unchanged | Varied
