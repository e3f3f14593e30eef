"""Winners: predicted from and taken home."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.responses import Response, StreamingResponse

from automl.server.access import SeenSearch, service_of
from automl.server.documents import Looked, Outputs, Seen, Source, Sources
from automl.server.lanes import slowly
from automl.server.problems import documented, returned

ROUTER = APIRouter(tags=["models"])
STREAMED = 16
Format = Literal["bundle", "int8", "stablehlo", "onnx", "ctranslate2", "ctranslate2-int8"]
ZIP = returned("A ZIP file.", "application/zip", {"type": "string", "format": "binary"})
LINES = returned("One JSON document a line.", "application/x-ndjson", {"type": "string"})


@ROUTER.post("/searches/{name}/predict")
async def predict(request: Request, row: SeenSearch, body: Sources) -> Outputs:
    """Predict from raw sources by the winner, or by another trial."""
    trial, outputs = await slowly(request, service_of(request).predict, row, body.trial, body.sources)
    return Outputs(trial=trial, outputs=outputs)


@ROUTER.post("/searches/{name}/predict/images")
async def predict_from_images(
    request: Request,
    row: SeenSearch,
    images: Annotated[list[UploadFile], File(description="Images, .png or .jpg.", min_length=1, max_length=16)],
    trial: Annotated[int | None, Query(ge=0, le=10**9)] = None,
) -> Seen:
    """Predict from images by the winner, or by another trial, of a search of images."""
    data = [await image.read() for image in images]
    number, seen = await slowly(request, service_of(request).see, row, trial, data)
    sizes = [(each.width, each.height) for each in seen]
    return Seen(trial=number, outputs=[each.output for each in seen], sizes=sizes)


@ROUTER.post(
    "/searches/{name}/predict/stream", response_class=StreamingResponse, responses={**LINES, **documented(503)}
)
async def predict_streamed(request: Request, row: SeenSearch, body: Sources) -> StreamingResponse:
    """Predict likewise, and send each output on a line of its own as soon as it is there."""
    service = service_of(request)
    first = (await slowly(request, service.predict, row, body.trial, body.sources[:STREAMED]))[1]

    async def lines() -> AsyncIterator[str]:
        for begin in range(0, len(body.sources), STREAMED):
            piece = body.sources[begin : begin + STREAMED]
            outputs = first if begin == 0 else (await slowly(request, service.predict, row, body.trial, piece))[1]
            yield "".join(json.dumps({"output": output}, ensure_ascii=False) + "\n" for output in outputs)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@ROUTER.post("/searches/{name}/attention")
async def look(request: Request, row: SeenSearch, body: Source) -> Looked:
    """Say where the winner, or another trial, looks in a source as it says its output."""
    trial, looked = await slowly(request, service_of(request).look, row, body.trial, body.source)
    return Looked(trial=trial, **looked)


@ROUTER.get("/searches/{name}/model", response_class=Response, responses={**ZIP})
async def download_model(
    request: Request,
    row: SeenSearch,
    trial: Annotated[int | None, Query(ge=0, le=10**9)] = None,
    format: Annotated[Format, Query(description="What to write.")] = "bundle",
) -> Response:
    """Download the winner, or another trial, as a folder that predicts, with a further form beside it if one is named.

    A form is loaded and compared with the model before it is sent, which takes a minute.
    """
    name, data = await slowly(request, service_of(request).archive, row, trial, format)
    return Response(
        data, media_type="application/zip", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
