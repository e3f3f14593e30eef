"""All searches, and one of them live."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from automl.budget import parse_duration
from automl.errors import InputError
from automl.report import page
from automl.report.drawing import described, drawing
from automl.report.figures import figures
from automl.server.access import AdmittingRoute, service_of
from automl.server.api.events import EventStream, LastId, seated, stream
from automl.server.api.trials import ALONE
from automl.server.lanes import slowly
from automl.server.pages.rendering import render
from automl.server.pages.visitors import COOKIE, ChangedPage, Doer, Looker, SeenPage
from automl.server.problems import Problem, status_of, told
from automl.tasks.document import BudgetSection
from search_spaces.dials import from_dict
from search_spaces.seq2seq import Seq2Seq
from storage.searches import SearchRow, list_searches
from storage.wishes import wish_of
from storage.workers import list_workers

ROUTER = APIRouter(route_class=AdmittingRoute)
SHOWN_SEARCHES, SHOWN_DECISIONS, SHOWN_TRIALS = 100, 40, 100
ENDING = ("delete", "purge")
ACTIONS = ("pause", "cancel", "resume", "extend", *ENDING)


@ROUTER.get("/")
def show_searches(request: Request, caller: Looker) -> Response:
    """List searches, newest first."""
    service = service_of(request)
    seen = [row for row in list_searches(service.database) if caller.may_see(row)]
    shown = service.library.documents(seen[::-1][:SHOWN_SEARCHES])
    workers = len(list_workers(service.database))
    return render(request, "searches.html", caller, searches=shown, more=len(seen) - len(shown), workers=workers)


@ROUTER.get("/searches/{name}")
async def show_search(request: Request, caller: Looker, row: SeenPage) -> Response:
    """Show one search."""
    return await slowly(request, lambda: render(request, "search.html", caller, **standing(request, row)))


@ROUTER.get("/searches/{name}/live")
async def show_standing(request: Request, caller: Looker, row: SeenPage) -> Response:
    """Return the part of the page that changes while a search runs."""
    return await slowly(request, lambda: render(request, "standing.html", caller, **standing(request, row)))


@ROUTER.get("/searches/{name}/events", response_class=EventStream)
async def watch_page(request: Request, row: SeenPage, last_event_id: LastId = None) -> EventStream:
    """Watch a search."""
    service, token = service_of(request), request.cookies.get(COOKIE, "")
    opens = partial(service.keyring.find, token, session=True)
    return seated(request, stream(service.feed, row, int(last_event_id or 0), opens))


@ROUTER.get("/searches/{name}/report.html")
async def show_report(request: Request, row: SeenPage) -> HTMLResponse:
    """Return what was learnt as one page."""
    library, back = service_of(request).library, f"/searches/{row.name}"
    text = await slowly(request, lambda: page(library.findings(row), back))
    return HTMLResponse(text, headers={"Content-Security-Policy": ALONE})


@ROUTER.post("/searches/{name}/{action}")
async def act(
    request: Request, caller: Doer, row: ChangedPage, action: str, time: Annotated[str, Form(max_length=40)] = ""
) -> Response:
    """Pause, resume, cancel, extend, delete or purge a search."""
    if action not in ACTIONS:
        raise Problem(404, f"nothing is called {action[:40]!r}")
    return await slowly(request, _acted, request, caller, row, action, time)


def _acted(request: Request, caller: Doer, row: SearchRow, action: str, time: str) -> Response:
    try:
        _do(request, caller, row, action, time)
    except (Problem, InputError) as error:
        values = standing(request, row) | {"wrong": told(error), "said": time}
        return render(request, "search.html", caller, status_of(error), **values)
    return RedirectResponse("/" if action in ENDING else f"/searches/{row.name}", 303)


def _do(request: Request, caller: Doer, row: SearchRow, action: str, time: str) -> None:
    service = service_of(request)
    match action:
        case "pause" | "cancel":
            service.stop(row, "pause" if action == "pause" else "cancel")
        case "resume":
            service.resume(caller, row)
        case "extend":
            parse_duration(time)
            service.set_budget(caller, row, BudgetSection(time=time))
        case "delete" | "purge":
            service.delete(row, purge=action == "purge")


def standing(request: Request, row: SearchRow) -> dict[str, Any]:
    """Return what the page of a search shows."""
    service = service_of(request)
    search, found = service.library.document(row), service.library.findings(row)
    time = search.budget.get("time")
    left = None if time is None else max(parse_duration(time) - search.seconds, 0.0)
    winner = None if search.best is None else from_dict(Seq2Seq, search.best.configuration)
    objectives = [objective.name for objective in found.criteria.objectives]
    return {
        "search": search,
        "found": found,
        "figures": figures(found),
        "left": left,
        "wish": wish_of(service.database, row.id) if search.state == "running" else None,
        "workers": len(list_workers(service.database)),
        "objectives": objectives,
        "columns": [name for name in dict.fromkeys([*objectives, "loss"]) if name != "parameters"],
        "rows": found.leaderboard[:SHOWN_TRIALS],
        "running": [trial for trial in found.leaderboard if trial.state == "running"],
        "decisions": found.decisions[::-1][:SHOWN_DECISIONS],
        "drawing": None if winner is None else drawing(winner),
        "described": None if winner is None else described(winner),
    }
