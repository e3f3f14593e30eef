"""Scripts and styles, all from here; Plotly's script is that of the package."""

from pathlib import Path

import plotly
from fastapi import APIRouter
from fastapi.responses import FileResponse

from automl.server.pages.rendering import FOLDER
from automl.server.problems import not_found

ROUTER = APIRouter()
STATIC = FOLDER / "static"
FILES = {path.name: path for path in STATIC.iterdir()} | {
    "plotly.min.js": Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
}
CACHED = {"Cache-Control": "private, max-age=3600"}


@ROUTER.get("/assets/{file}")
def get_asset(file: str) -> FileResponse:
    """Return a file."""
    if file not in FILES:
        raise not_found(file)
    return FileResponse(FILES[file], headers=CACHED)
