from io import BytesIO

import pytest

from automl.explanation.explanation import Explanation
from tests.automl.explanation.cases import explanation

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("text", ["$\\frac{1$", "日本", "a", "\u202eb", "%_^{}"])
def test_every_figure_is_a_picture_whatever_the_text(text: str) -> None:
    from matplotlib.image import imread

    from automl.explanation.pictures import pictures

    drawn = pictures(explanation(text, "d", text))
    assert set(drawn) == {
        "attention-1.png",
        "attention-2.png",
        "reliability-outputs.png",
        "reliability-tokens.png",
        "errors.png",
        "importance.png",
        "architecture.png",
    }
    assert all(imread(BytesIO(data)).std() > 0.01 for data in drawn.values())


def test_without_labels_there_is_the_architecture_alone() -> None:
    from automl.explanation.pictures import pictures

    made = explanation("a", "b")
    assert list(pictures(Explanation("a", made.configuration, []))) == ["architecture.png"]
