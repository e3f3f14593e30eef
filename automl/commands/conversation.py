"""Text that a winner draws: `automl generate`, `automl chat`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from automl.commands.options import Json
from automl.commands.winners import Folder, loaded
from automl.errors import InputError
from automl.terminal.console import print_json, say

if TYPE_CHECKING:
    from automl.decoding.generation import Generation
    from automl.inference import Model

Temperature = Annotated[
    float, typer.Option(min=0, max=100, metavar="T", help="0 takes the likeliest; more draws more freely.")
]
TopK = Annotated[int, typer.Option("--top-k", min=0, metavar="N", help="Draw among so many; 0 is all.")]
TopP = Annotated[float, typer.Option("--top-p", min=0, max=1, metavar="P", help="Draw among the likeliest of so much.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Decides what is drawn.")]
Stop = Annotated[list[str] | None, typer.Option("--stop", metavar="TEXT", help="End before it; may be repeated.")]
Most = Annotated[int | None, typer.Option("--tokens", min=1, metavar="N", help="Tokens of an output, at most.")]


def generate(  # noqa: PLR0913
    bundle: Folder,
    prompt: Annotated[str, typer.Argument(metavar="[PROMPT]", help="Text to go on with.")] = "",
    *,
    source: Annotated[str, typer.Option(metavar="TEXT", help="Source, of a model that reads one.")] = "",
    count: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="So many outputs, one a line.")] = 1,
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    stop: Stop = None,
    tokens: Most = None,
    as_json: Json = False,
) -> None:
    """Go on with a prompt; tokens are drawn, the same ones for the same seed."""
    from automl.terminal.lines import one_line

    model = loaded(bundle)
    if model.has_source and not source:
        raise InputError(f"{bundle}: reads a source; give it by --source (a prompt is how its output begins)")
    how = _how(temperature, top_k, top_p, seed, stop, tokens, prompt)
    outputs = model.generate(source, how, count)
    if as_json:
        print_json({"outputs": outputs})
    else:
        typer.echo("\n".join(map(one_line, outputs)))


def chat(
    bundle: Folder,
    *,
    temperature: Temperature = 0.0,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    stop: Stop = None,
    tokens: Most = None,
) -> None:
    """Talk to a winner of kind dialogue, a line a turn; /new begins another conversation, Ctrl-D ends."""
    model = loaded(bundle)
    if model.config["kind"] != "dialogue":
        raise InputError(f"{bundle}: is of kind {model.config['kind']}; automl chat needs one of kind dialogue")
    how = _how(temperature, top_k, top_p, seed, stop, tokens)
    if sys.stdin.isatty():
        say("type a turn a line; /new begins another conversation, Ctrl-D ends")
    turns: list[str] = []
    for line in sys.stdin:
        if line.strip() == "/new":
            turns = []
        elif line.strip():
            turns = _answered(model, [*turns, line.strip()], how)


def _answered(model: "Model", turns: list[str], how: "Generation") -> list[str]:
    """Answer the last turn, and return the turns that are remembered: without the oldest where all are too long."""
    from automl.data.turns import joined
    from automl.decoding.reading import SourceTooLong

    while True:
        try:
            answer = model.generate(joined(turns), how)[0]
        except SourceTooLong as error:
            if len(turns) == 1:
                say(str(error))
                return []
            turns = turns[2:]
        else:
            typer.echo(answer)
            return [*turns, answer] if answer else turns[:-1]


def _how(
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    stop: list[str] | None,
    tokens: int | None,
    prompt: str = "",
) -> "Generation":
    from automl.decoding.generation import Generation
    from search_spaces.decoding import Sampling

    return Generation(Sampling(temperature, top_k, top_p, seed), tokens, prompt, tuple(stop or ()))
