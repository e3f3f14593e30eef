"""Trials, and what a search has learnt."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from automl.report import page
from automl.server.access import SeenSearch, service_of
from automl.server.api.uploads import Limit
from automl.server.documents import Example, Leaderboard, SegmentDocument, TrialDocument, TrialRow
from automl.server.lanes import predicting, slowly
from automl.server.problems import not_found
from automl.terminal.leaderboard import leaderboard

ROUTER = APIRouter(tags=["results"])
ALONE = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data: blob:"
)
"""The page brings its scripts along, so it runs as if it came from nowhere: it reaches neither cookies nor the API."""
Number = Annotated[int, Path(ge=0, le=10**9, description="Number of a trial.")]


@ROUTER.get("/searches/{name}/trials")
def list_ranked_trials(
    request: Request, row: SeenSearch, after: Annotated[int, Query(ge=0, le=10**9)] = 0, limit: Limit = 50
) -> Leaderboard:
    """Rank the trials of a search; `after` is how many to leave out."""
    record = service_of(request).library.record(row)
    ranked = leaderboard(record.trials.values(), record.criteria)
    items = [TrialRow(**trial.to_mapping()) for trial in ranked[after : after + limit]]
    following = after + limit if len(ranked) > after + limit else None
    return Leaderboard(search=row.name, metric=record.criteria.metric.name, items=items, next=following)


@ROUTER.get("/searches/{name}/trials/{number}")
def get_one_trial(request: Request, row: SeenSearch, number: Number) -> TrialDocument:
    """Say what a trial is and how it went."""
    record = service_of(request).library.record(row)
    if number not in record.trials:
        raise not_found(f"trial {number} of search {row.name!r}")
    trial = record.trials[number]
    winner = record.best is not None and record.best[0].row.number == number
    standing = leaderboard([trial], record.criteria)[0].to_mapping() | {"winner": winner}
    segments = [
        SegmentDocument(
            from_step=s.from_step, to_step=s.to_step, tokens=s.tokens, scores=dict(s.scores), seconds=dict(s.seconds)
        )
        for s in trial.segments
    ]
    configuration = dict(trial.row.configuration)
    return TrialDocument(**standing, configuration=configuration, message=trial.row.message, segments=segments)


@ROUTER.get("/searches/{name}/trials/{number}/samples")
async def list_samples(request: Request, row: SeenSearch, number: Number) -> list[Example]:
    """Say what a trial makes of some sources of valid, where the task document has `share_samples = true`."""
    return await predicting(request, service_of(request).models.samples, row, number)


@ROUTER.get("/searches/{name}/report")
async def get_report(request: Request, row: SeenSearch) -> dict[str, Any]:
    """Return what a search has learnt, as `automl report --json` does."""
    mapping = (await slowly(request, service_of(request).library.findings, row)).to_mapping()
    return {name: value for name, value in mapping.items() if name != "bundle"}


@ROUTER.get("/searches/{name}/report.html", response_class=HTMLResponse)
async def get_report_page(request: Request, row: SeenSearch) -> HTMLResponse:
    """Return it as one page that needs nothing else."""
    text = await slowly(request, lambda: page(service_of(request).library.findings(row)))
    return HTMLResponse(text, headers={"Content-Security-Policy": ALONE})
