"""Winners: predicted from and taken home."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.responses import Response, StreamingResponse

from automl.errors import InputError
from automl.server.access import AdmittingRoute, SeenSearch, service_of
from automl.server.api.searches import LOCATION
from automl.server.documents import ExportDocument, Looked, Outputs, Seen, Source, Sources
from automl.server.downloads import download
from automl.server.lanes import predicting, slowly
from automl.server.problems import Problem, documented, returned, told
from storage.database import StorageError

ROUTER = APIRouter(tags=["models"], route_class=AdmittingRoute)
STREAMED = 16
Form = Literal["int8", "stablehlo", "onnx", "ctranslate2", "ctranslate2-int8"]
Format = Literal["bundle", Form]
Trial = Annotated[int | None, Query(ge=0, le=10**9)]
Wanted = Annotated[Form, Query(alias="format", description="What to make beside the bundle.")]
ZIP = returned("A ZIP file.", "application/zip", {"type": "string", "format": "binary"})
LINES = returned("One JSON document a line.", "application/x-ndjson", {"type": "string"})


@ROUTER.post("/searches/{name}/predict")
async def predict(request: Request, row: SeenSearch, body: Sources) -> Outputs:
    """Predict from raw sources by the winner, or by another trial."""
    trial, outputs = await predicting(request, service_of(request).models.predict, row, body.trial, body.sources)
    return Outputs(trial=trial, outputs=outputs)


@ROUTER.post("/searches/{name}/predict/images")
async def predict_from_images(
    request: Request,
    row: SeenSearch,
    images: Annotated[list[UploadFile], File(description="Images, .png or .jpg.", min_length=1, max_length=16)],
    trial: Trial = None,
) -> Seen:
    """Predict from images by the winner, or by another trial, of a search of images."""
    data = [await image.read() for image in images]
    number, seen = await predicting(request, service_of(request).models.see, row, trial, data)
    sizes = [(each.width, each.height) for each in seen]
    return Seen(trial=number, outputs=[each.output for each in seen], sizes=sizes)


@ROUTER.post(
    "/searches/{name}/predict/stream", response_class=StreamingResponse, responses={**LINES, **documented(503)}
)
async def predict_streamed(request: Request, row: SeenSearch, body: Sources) -> StreamingResponse:
    """Predict likewise, and send each output on a line of its own as soon as it is there.

    What is wrong with a source after the first few, whose answer has begun, is the last line: `{"error": …}`.
    """
    models = service_of(request).models
    first = (await predicting(request, models.predict, row, body.trial, body.sources[:STREAMED]))[1]

    async def lines() -> AsyncIterator[str]:
        yield _lines(first)
        try:
            for begin in range(STREAMED, len(body.sources), STREAMED):
                piece = body.sources[begin : begin + STREAMED]
                yield _lines((await predicting(request, models.predict, row, body.trial, piece))[1])
        except (Problem, InputError, StorageError) as error:
            yield json.dumps({"error": told(error)}, ensure_ascii=False) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def _lines(outputs: Sequence[str]) -> str:
    return "".join(json.dumps({"output": output}, ensure_ascii=False) + "\n" for output in outputs)


@ROUTER.post("/searches/{name}/attention")
async def look(request: Request, row: SeenSearch, body: Source) -> Looked:
    """Say where the winner, or another trial, looks in a source as it says its output."""
    trial, looked = await predicting(request, service_of(request).models.look, row, body.trial, body.source)
    return Looked(trial=trial, **looked)


def query_of(form: str, trial: int | None) -> str:
    """Return how a form is named in an address."""
    return urlencode({"format": form, **({} if trial is None else {"trial": trial})})


@ROUTER.post("/searches/{name}/exports", status_code=202, responses={**LOCATION})
async def make_export(
    request: Request, response: Response, row: SeenSearch, form: Wanted = "onnx", trial: Trial = None
) -> ExportDocument:
    """Let a form of the winner, or of another trial, be made; it is compared with the model, which takes a minute."""
    response.headers["Location"] = f"/v1/searches/{row.name}/exports?{query_of(form, trial)}"
    return await slowly(request, service_of(request).models.export, row, trial, form)


@ROUTER.get("/searches/{name}/exports")
async def get_export(request: Request, row: SeenSearch, form: Wanted = "onnx", trial: Trial = None) -> ExportDocument:
    """Say how far a form is; a winner that another has replaced meanwhile has none yet."""
    return await slowly(request, service_of(request).models.exporting, row, trial, form)


@ROUTER.get("/searches/{name}/model", response_class=Response, responses={**ZIP})
async def download_model(
    request: Request,
    row: SeenSearch,
    trial: Trial = None,
    format: Annotated[Format, Query(description="What to send; a form must have been made.")] = "bundle",
) -> Response:
    """Download the winner, or another trial, as a folder that predicts, with a form beside it that was made before."""
    name, folder = await slowly(request, service_of(request).models.folder, row, trial, format)
    return download(name, folder)
