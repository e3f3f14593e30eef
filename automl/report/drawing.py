"""The architecture of a configuration as a drawing in SVG: source on the left, target on the right, upwards."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from html import escape
from typing import Any

from search_spaces.seq2seq import Seq2Seq

WIDTH, HEIGHT, GAP = 250, 34, 14
LEFT, RIGHT = 20, 350
MOST_LAYERS = 8
"""More layers than this are drawn as one box."""


@dataclass(frozen=True)
class Box:
    """A box: its title, what stands beneath in small, and what it is drawn as."""

    title: str
    detail: str = ""
    style: str = "layer"


def drawing(configuration: Seq2Seq) -> str:
    """Return an SVG element that shows what the model is made of."""
    source, target = columns(configuration)
    rows = max(len(source), len(target))
    height = rows * (HEIGHT + GAP) + GAP
    bottom = height - GAP - HEIGHT
    parts = [_column(source, LEFT, bottom), _column(target, RIGHT, bottom), _memory(source, target, bottom)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {RIGHT + WIDTH + 20} {height}" role="img" '
        f'aria-label="The architecture" class="architecture">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" class="tip"/></marker></defs>' + "".join(parts) + "</svg>"
    )


def columns(configuration: Seq2Seq) -> tuple[list[Box], list[Box]]:
    """Return the boxes of the source and of the target, from below."""
    source = [Box("source tokens", style="tokens"), *_stack(configuration.encoder, "encoder")]
    target = [Box("target so far", style="tokens"), *_stack(configuration.decoder, "decoder"), _output(configuration)]
    return source, target


def described(kind: Any) -> str:
    """Return the dials of a kind in one line, those of the kinds within it in brackets."""
    said = []
    for field in fields(kind):
        value = getattr(kind, field.name)
        name = field.name.replace("_", " ")
        if is_dataclass(value):
            inner = described(value)
            said.append(f"{name} {type(value).__name__}{f' ({inner})' if inner else ''}")
        elif isinstance(value, bool):
            said.extend([name] if value else [])
        else:
            said.append(f"{name} {value}")
    return ", ".join(said)


def _stack(kind: Any, role: str) -> list[Box]:
    name = type(kind).__name__
    layers = getattr(kind, "num_layers", 0)
    size = getattr(kind, "hidden_size", getattr(kind, "model_size", None))
    boxes = [Box("embedding", f"size {size}", "embedding")] if size is not None else []
    if layers == 0:
        return [*boxes, Box(f"{name} {role}", described(kind))]
    if layers > MOST_LAYERS:
        return [*boxes, Box(f"{name} {role}, {layers} layers", _layer_detail(kind))]
    return [*boxes, *(Box(f"{name} {role}, layer {n}", _layer_detail(kind)) for n in range(1, layers + 1))]


def _layer_detail(kind: Any) -> str:
    shown = []
    for name in ("cell", "hidden_size", "model_size", "bidirectional", "kernel_size", "attention", "positions"):
        value = getattr(kind, name, None)
        if value is None or value is False:
            continue
        if is_dataclass(value):
            heads = getattr(value, "num_heads", None)
            shown.append(f"{type(value).__name__}{f' × {heads}' if heads else ''}")
        else:
            shown.append(name.replace("_", " ") if value is True else f"{value}")
    return ", ".join(shown)


def _output(configuration: Seq2Seq) -> Box:
    output = getattr(configuration, "output", None)
    return Box(type(output).__name__ if output is not None else "Softmax", "the next target token", "output")


def _column(boxes: Sequence[Box], x: int, bottom: int) -> str:
    drawn = []
    for number, box in enumerate(boxes):
        y = bottom - number * (HEIGHT + GAP)
        middle = x + WIDTH // 2
        drawn.append(f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" class="{box.style}"/>')
        title_y = y + (15 if box.detail else 22)
        drawn.append(f'<text x="{middle}" y="{title_y}" class="title">{escape(box.title)}</text>')
        if box.detail:
            drawn.append(f'<text x="{middle}" y="{y + 28}" class="detail">{escape(box.detail)}</text>')
        if number:
            drawn.append(_arrow(middle, y + HEIGHT + GAP, middle, y + HEIGHT))
    return "".join(drawn)


def _memory(source: Sequence[Box], target: Sequence[Box], bottom: int) -> str:
    """Draw the way from the encoded source to every layer of the decoder."""
    top = bottom - (len(source) - 1) * (HEIGHT + GAP) + HEIGHT // 2
    lane = (LEFT + WIDTH + RIGHT) // 2
    layers = [n for n, box in enumerate(target) if box.style == "layer"]
    arrows = [f'<path d="M{LEFT + WIDTH} {top}H{lane}" class="line"/>']
    for number in layers:
        y = bottom - number * (HEIGHT + GAP) + HEIGHT // 2
        arrows.append(f'<path d="M{lane} {top}V{y}H{RIGHT - 1}" class="line" marker-end="url(#tip)"/>')
    return "".join(arrows)


def _arrow(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<path d="M{x1} {y1}L{x2} {y2}" class="line" marker-end="url(#tip)"/>'
