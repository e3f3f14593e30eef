"""Pictures: the figures of an explanation as PNG, by matplotlib (of the extra `explain`)."""

import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from io import BytesIO
from typing import Any

from automl.explanation.breakdown import Breakdown
from automl.explanation.calibration import Calibration
from automl.explanation.explanation import Explanation
from automl.explanation.page import symbol
from automl.explanation.predictions import Prediction
from automl.report.drawing import GAP, HEIGHT, LEFT, RIGHT, WIDTH, Box, columns
from automl.report.figures import MOST_DIALS
from search_spaces.seq2seq import Seq2Seq

BLUE, AMBER, GREY = "#2563eb", "#d97706", "#64748b"
FILLS = {"tokens": "#f1f5f9", "embedding": "#fef3c7", "layer": "#dbeafe", "output": "#dcfce7"}
DOTS = 130


def can_draw() -> bool:
    """Say whether matplotlib is there."""
    return find_spec("matplotlib") is not None


def pictures(explanation: Explanation) -> dict[str, bytes]:
    """Return every figure as PNG by the name of its file."""
    drawn = {f"attention-{place}.png": heat_map(each) for place, each in enumerate(explanation.shown, 1)}
    found = explanation.labelled
    if found is not None:
        of = {"reliability-outputs.png": found.outputs, "reliability-tokens.png": found.tokens}
        drawn |= {name: reliability(each) for name, each in of.items() if each is not None}
        drawn["errors.png"] = errors(found.errors)
    if explanation.importance:
        drawn["importance.png"] = importance(explanation.importance)
    return {**drawn, "architecture.png": architecture(explanation.configuration)}


def heat_map(each: Prediction) -> bytes:
    """Draw where the model looked: a row a target token, a column a source token, and how sure it was beside it."""
    rows, across = len(each.output_tokens), len(each.source_tokens)
    figure = _figure(2.2 + 0.34 * across, 1.2 + 0.34 * rows)
    looked, sure = figure.subplots(1, 2, width_ratios=(max(across, 3), 2), sharey=True)
    looked.imshow(each.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    labels = [symbol(label) for label in each.labels]
    turned = {"rotation": 90} if max(map(len, labels), default=0) > 3 else {}
    looked.set_xticks(range(across), labels, parse_math=False, **turned)
    looked.set_yticks(range(rows), [symbol(token) for token in each.output_tokens], parse_math=False)
    looked.tick_params(length=0, labeltop=True, labelbottom=False)
    sure.barh(range(rows), each.confidence, color=BLUE, height=0.6, label="sure")
    if any(share > 0 for share in each.copied):
        copied = [share * confidence for share, confidence in zip(each.copied, each.confidence, strict=True)]
        sure.barh(range(rows), copied, color=AMBER, height=0.6, label="of that copied")
        figure.legend(fontsize=7, loc="outside lower right")
    sure.set_xlim(0, 1)
    sure.set_title("sure", fontsize=9)
    sure.tick_params(left=False)
    return _png(figure)


def reliability(found: Calibration) -> bytes:
    """Draw accuracy over confidence, and how many judgements each bar stands for."""
    figure = _figure(5.2, 4.6)
    axes = figure.subplots()
    for each in found.bins:
        middle, width = (each.low + each.high) / 2, each.high - each.low
        axes.bar(middle, each.accuracy, width, color=BLUE, edgecolor="white")
        axes.annotate(f"{each.count:,}", (middle, each.accuracy + 0.02), ha="center", va="bottom", fontsize=8)
    axes.plot([0, 1], [0, 1], "--", color=GREY, label="as right as sure")
    means = [each.confidence for each in found.bins], [each.accuracy for each in found.bins]
    axes.plot(*means, "o", color=AMBER, label="mean confidence")
    axes.set(xlim=(0, 1), ylim=(0, 1.08), xlabel="confidence", ylabel="share that is right")
    axes.set_title(f"expected calibration error {found.error:.4f} of {found.count:,}", fontsize=10)
    axes.legend(loc="upper left", fontsize=8)
    return _png(figure)


def errors(found: Breakdown) -> bytes:
    """Draw the error rates by length and by rarity, and the symbols that are missed most."""
    figure = _figure(11, 3.8)
    by_length, by_rarity, missed = figure.subplots(1, 3)
    for axes, groups, name in (
        (by_length, found.by_length, "tokens of the source"),
        (by_rarity, found.by_rarity, f"rarest symbol's occurrences in {found.counted}"),
    ):
        axes.bar([g.name for g in groups], [g.error_rate for g in groups], color=BLUE)
        for place, group in enumerate(groups):
            axes.annotate(
                f"{group.wrong}/{group.rows}", (place, group.error_rate), ha="center", va="bottom", fontsize=8
            )
        axes.set(xlabel=name, ylabel="error rate")
        axes.margins(y=0.12)
        axes.tick_params(axis="x", labelsize=8)
    worst = list(found.mistakes[:10])[::-1]
    missed.barh(range(len(worst)), [m.wrong for m in worst], color=AMBER)
    labels = [f"{symbol(m.symbol)} → {symbol(m.instead)}" for m in worst]
    missed.set_yticks(range(len(worst)), labels, parse_math=False)
    missed.set(xlabel="times missed, and most often for what")
    return _png(figure)


def importance(shares: Mapping[str, float]) -> bytes:
    """Draw the share of each dial, the largest on top."""
    listed = list(shares.items())[:MOST_DIALS][::-1]
    figure = _figure(6.4, 0.9 + 0.28 * len(listed))
    axes = figure.subplots()
    axes.barh(range(len(listed)), [share for _, share in listed], color=BLUE, height=0.7)
    for place, (_, share) in enumerate(listed):
        axes.annotate(f" {share:.1%}", (share, place), va="center", fontsize=8)
    axes.set_yticks(range(len(listed)), [path for path, _ in listed], fontsize=8, parse_math=False)
    axes.margins(x=0.14)
    axes.set(xlabel="share of what tells the best trials from all")
    return _png(figure)


def architecture(configuration: Seq2Seq) -> bytes:
    """Draw the boxes of `automl.report.drawing`."""
    source, target = columns(configuration)
    top = max(len(source), len(target)) * (HEIGHT + GAP)
    figure = _figure((RIGHT + WIDTH + 20) / 85, top / 85 + 0.3)
    axes = figure.subplots()
    axes.set(xlim=(0, RIGHT + WIDTH + 20), ylim=(-GAP, top))
    axes.axis("off")
    for boxes, x in ((source, LEFT), (target, RIGHT)):
        for number, box in enumerate(boxes):
            _box(axes, box, x, number * (HEIGHT + GAP), first=number == 0)
    _memory(axes, source, target)
    return _png(figure)


def _box(axes: Any, box: Box, x: int, y: int, *, first: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    edge, fill = "#94a3b8", FILLS[box.style]
    around = "round,pad=0,rounding_size=5"
    axes.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, boxstyle=around, facecolor=fill, edgecolor=edge))
    middle = x + WIDTH / 2
    height = y + HEIGHT * (0.68 if box.detail else 0.5)
    axes.text(middle, height, box.title, ha="center", va="center", fontsize=9, parse_math=False)
    axes.text(middle, y + HEIGHT * 0.27, box.detail, ha="center", va="center", fontsize=7, color=GREY, parse_math=False)
    if not first:
        axes.annotate("", (middle, y), (middle, y - GAP), arrowprops={"arrowstyle": "-|>", "color": GREY})


def _memory(axes: Any, source: Sequence[Box], target: Sequence[Box]) -> None:
    """Draw the way from the encoded source to every layer of the decoder."""
    top, lane = (len(source) - 1) * (HEIGHT + GAP) + HEIGHT / 2, (LEFT + WIDTH + RIGHT) / 2
    axes.plot([LEFT + WIDTH, lane], [top, top], color=GREY)
    for number, box in enumerate(target):
        if box.style == "layer":
            y = number * (HEIGHT + GAP) + HEIGHT / 2
            axes.plot([lane, lane], [top, y], color=GREY)
            axes.annotate("", (RIGHT, y), (lane, y), arrowprops={"arrowstyle": "-|>", "color": GREY})


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=DOTS, layout="constrained")


def _png(figure: Any) -> bytes:
    into = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a symbol without a glyph is drawn as a box
        figure.savefig(into, format="png", metadata={"Software": None})
    return into.getvalue()


def drawable(explanation: Explanation, say: Any) -> Mapping[str, bytes]:
    """Return the pictures, or none where matplotlib is missing, and say so."""
    if can_draw():
        return pictures(explanation)
    say("pictures need matplotlib: pip install 'automl-seq2seq[explain]'; the page is complete without them")
    return {}
