"""One trial, two compared, the winner tried and taken home."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Path, Query, Request, UploadFile
from fastapi.responses import RedirectResponse, Response

from automl.boxes import read_text
from automl.control.history import Trial
from automl.errors import InputError
from automl.records import Record
from automl.report.drawing import described, drawing
from automl.report.figures import COLOURS
from automl.server.access import AdmittingRoute, service_of
from automl.server.api.models import Format, Wanted, query_of
from automl.server.downloads import download
from automl.server.lanes import predicting, slowly
from automl.server.library import reads_images
from automl.server.pages.rendering import render
from automl.server.pages.visitors import Looker, SeenPage
from automl.server.problems import Problem, not_found, status_of, told
from automl.tasks.object_detection import ObjectDetection
from automl.terminal.leaderboard import leaderboard
from storage.searches import SearchRow

ROUTER = APIRouter(route_class=AdmittingRoute)
LOOKING_AGAIN = "3"
"""Seconds until a page is loaded again that waits for something."""
PICTURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
"""How files of images begin, of the kinds that are shown again."""
Number = Annotated[int, Path(ge=0, le=10**9)]
Chosen = Annotated[int | None, Query(ge=0, le=10**9)]


@ROUTER.get("/searches/{name}/trials/{number}")
def show_trial(request: Request, caller: Looker, row: SeenPage, number: Number) -> Response:
    """Show one trial."""
    record = service_of(request).library.record(row)
    trial = _trial(record, number)
    shared = row.document.get("share_samples") is True and bool(trial.segments)
    best = None if record.best is None else record.best[0].row.number
    values: dict[str, Any] = {
        "standing": leaderboard([trial], record.criteria)[0],
        "objectives": [objective.name for objective in record.criteria.objectives],
        "best": best,
        "figures": curves([trial], record),
        "drawing": drawing(trial.configuration),
        "described": described(trial.configuration),
    }
    return render(
        request,
        "trial.html",
        caller,
        name=row.name,
        trial=trial,
        shared=shared,
        **values,
    )


@ROUTER.get("/searches/{name}/trials/{number}/samples")
async def show_samples(request: Request, caller: Looker, row: SeenPage, number: Number) -> Response:
    """Show what a trial makes of some sources of valid."""
    samples = await predicting(request, service_of(request).models.samples, row, number)
    return render(request, "samples.html", caller, name=row.name, number=number, samples=samples)


@ROUTER.get("/searches/{name}/compare")
def compare_trials(
    request: Request,
    caller: Looker,
    row: SeenPage,
    trial: Annotated[list[int], Query(max_length=100, default_factory=list)],
) -> Response:
    """Show two trials side by side."""
    if len(trial) != 2:
        raise Problem(422, "mark two trials of the leaderboard, neither one nor three, to compare them")
    record = service_of(request).library.record(row)
    pair = [_trial(record, number) for number in trial]
    left, right = (dict(flattened(each.row.configuration)) for each in pair)
    dials = [(dial, left.get(dial), right.get(dial)) for dial in {**left, **right}]
    values: dict[str, Any] = {
        "differing": [each for each in dials if each[1] != each[2]],
        "shared": [(dial, value) for dial, value, other in dials if value == other],
        "objectives": [objective.name for objective in record.criteria.objectives],
        "standings": [leaderboard([each], record.criteria)[0] for each in pair],
        "figures": curves(pair, record),
    }
    return render(request, "compare.html", caller, name=row.name, **values)


@ROUTER.get("/searches/{name}/try")
def show_try(request: Request, caller: Looker, row: SeenPage, trial: Chosen = None) -> Response:
    """Ask for something to predict from."""
    record = service_of(request).library.record(row)
    waits = record.best is None if trial is None else not _trial(record, trial).segments
    return _tried(request, caller, row, trial, waits=waits)


@ROUTER.post("/searches/{name}/try")
async def try_model(
    request: Request,
    caller: Looker,
    row: SeenPage,
    sources: Annotated[str, Form()] = "",
    image: Annotated[UploadFile | None, File()] = None,
    trial: Annotated[str, Form(pattern=r"^[0-9]{0,9}$")] = "",
    looks: Annotated[bool, Form()] = False,
) -> Response:
    """Predict from each line, or from an image."""
    number = int(trial) if trial else None
    if reads_images(row):
        return await _see(request, caller, row, number, b"" if image is None else await image.read())
    lines = [line for line in sources.splitlines() if line.strip()]
    service = service_of(request)
    try:
        outputs = await predicting(request, service.models.predict, row, number, lines)
    except (InputError, Problem) as error:
        return _tried(request, caller, row, number, sources=sources, wrong=error)
    shown: dict[str, Any] = {"sources": sources, "pairs": list(zip(lines, outputs[1], strict=True))}
    if lines and looks:
        try:
            looked = await predicting(request, service.models.look, row, number, lines[0])
        except (InputError, Problem) as error:  # a model that reads no source looks at none
            shown["unseen"] = told(error)
        else:
            shown["figures"] = attention(looked[1])
    return _tried(request, caller, row, number, **shown)


async def _see(request: Request, caller: Looker, row: SearchRow, trial: int | None, image: bytes) -> Response:
    """Show an image and what is seen on it."""
    kind = next((kind for magic, kind in PICTURES.items() if image.startswith(magic)), None)
    try:
        if kind is None:
            raise Problem(422, "choose an image, .png or .jpg")
        _, [seen] = await predicting(request, service_of(request).models.see, row, trial, [image])
    except (InputError, Problem) as error:
        return _tried(request, caller, row, trial, wrong=error)
    picture = f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
    is_scene = row.document["kind"] == ObjectDetection.kind
    boxes = read_text(seen.output) if is_scene else []
    return _tried(request, caller, row, trial, picture=picture, seen=seen, boxes=boxes, is_scene=is_scene)


def _tried(request: Request, caller: Looker, row: SearchRow, trial: int | None, **shown: Any) -> Response:
    nothing: dict[str, Any] = {"sources": "", "pairs": [], "wrong": None, "figures": {}, "picture": None}
    values = {**nothing, "waits": False, "reads_images": reads_images(row), **shown}
    status = 200
    if values["wrong"] is not None:
        status, values["wrong"] = status_of(values["wrong"]), told(values["wrong"])
    return render(request, "try.html", caller, status, name=row.name, trial=trial, **values)


@ROUTER.get("/searches/{name}/exports")
async def show_export(
    request: Request, caller: Looker, row: SeenPage, form: Wanted = "onnx", trial: Chosen = None
) -> Response:
    """Show how far a form is; while it is made, the page is loaded again."""
    export = await slowly(request, service_of(request).models.exporting, row, trial, form)
    page = render(request, "export.html", caller, name=row.name, export=export, query=query_of(form, trial))
    if export.state == "making":
        page.headers["Refresh"] = LOOKING_AGAIN
    return page


@ROUTER.post("/searches/{name}/exports")
async def make_form(
    request: Request, _caller: Looker, row: SeenPage, form: Wanted = "onnx", trial: Chosen = None
) -> Response:
    """Let a form be made."""
    await slowly(request, service_of(request).models.export, row, trial, form)
    return RedirectResponse(f"/searches/{row.name}/exports?{query_of(form, trial)}", 303)


@ROUTER.get("/searches/{name}/model")
async def take_home(
    request: Request,
    _caller: Looker,
    row: SeenPage,
    trial: Chosen = None,
    form: Annotated[Format, Query(alias="format")] = "bundle",
) -> Response:
    """Download the winner, or another trial, in one of its forms; one that is not there is made first."""
    service = service_of(request)
    if form != "bundle" and (await slowly(request, service.models.exporting, row, trial, form)).state != "ready":
        return RedirectResponse(f"/searches/{row.name}/exports?{query_of(form, trial)}", 303)
    name, folder = await slowly(request, service.models.folder, row, trial, form)
    return download(name, folder)


def curves(trials: Sequence[Trial], record: Record) -> dict[str, Any]:
    """Return the figures of some trials: the objective and the loss over the target tokens seen."""
    drawn = {}
    for title, score in (("Objective", record.criteria.metric.name), ("Loss", "loss")):
        lines = [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"trial {trial.row.number}",
                "x": [s.tokens for s in trial.segments if score in s.scores],
                "y": [s.scores[score] for s in trial.segments if score in s.scores],
                "line": {"color": COLOURS[index]},
            }
            for index, trial in enumerate(trials)
        ]
        layout = {"height": 300, "xaxis": {"title": {"text": "target tokens"}}, "yaxis": {"title": {"text": score}}}
        if any(line["x"] for line in lines):
            drawn[f"{title}: {score}" if title == "Objective" else title] = {"data": lines, "layout": layout}
    return drawn


def attention(looked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figure of where a model looked: target tokens downwards, source tokens across."""
    source, target = ([f"{at} {token}" for at, token in enumerate(looked[side], 1)] for side in ("source", "target"))
    heat = {
        "type": "heatmap",
        "x": source,
        "y": target,
        "z": looked["weights"],
        "colorscale": "Viridis",
        "zmin": 0,
        "zmax": 1,
    }
    labels = {"tickangle": -60, "type": "category"}
    layout = {
        "height": max(300, 100 + 22 * len(target)),
        "xaxis": {**labels, "tickvals": source, "ticktext": looked["source"], "title": {"text": "source"}},
        "yaxis": {
            "type": "category",
            "autorange": "reversed",
            "tickvals": target,
            "ticktext": looked["target"],
            "title": {"text": "output"},
        },
    }
    return {"Where it looked for the first output": {"data": [heat], "layout": layout}}


def flattened(mapping: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each dial of a configuration by its path."""
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _trial(record: Record, number: int) -> Trial:
    if number not in record.trials:
        raise not_found(f"trial {number} of search {record.row.name!r}")
    return record.trials[number]
