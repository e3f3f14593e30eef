"""Templates, and how values are written in them."""

from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from automl.server.access import Caller
from automl.server.pages.visitors import form_token

FOLDER = Path(__file__).parents[1]
TEMPLATES = Jinja2Templates(directory=FOLDER / "templates")


def duration(seconds: float | None) -> str:
    """Write seconds for people."""
    if seconds is None:
        return "no limit"
    whole = max(round(seconds), 0)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def score(value: float | None) -> str:
    """Write a score, or a cost."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def setting(value: Any) -> str:
    """Write what a dial is set to."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return score(value)
    return str(value)


TEMPLATES.env.filters |= {"duration": duration, "score": score, "setting": setting}


def render(request: Request, template: str, caller: Caller | None, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page."""
    state = request.app.state
    most = state.service.options.limits.upload_bytes
    shared = {"csrf": form_token(request), "shows_dashboard": state.shows_dashboard, "most": most}
    context = {"caller": caller, **shared, **values}
    return TEMPLATES.TemplateResponse(request, template, context, status_code=status)
