"""Uploads: the data of tasks."""

from typing import Annotated

from fastapi import APIRouter, File, Path, Query, Request, Response, UploadFile

from automl.server.access import AdmittingRoute, Reader, Runner, service_of
from automl.server.documents import UPLOAD, Proposal, Splits, UploadDocument, Uploads
from automl.server.idempotency import IdempotencyKey, once, request_digest
from automl.server.lanes import slowly
from automl.server.library import upload_document
from storage import objects
from storage.uploads import list_uploads

ROUTER = APIRouter(tags=["data"], route_class=AdmittingRoute)
Id = Annotated[str, Path(pattern=f"^{UPLOAD}$", description="Id of an upload.")]
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[int, Query(ge=0, le=2**31 - 1)]


@ROUTER.post("/uploads", status_code=201)
async def upload_file(
    request: Request,
    response: Response,
    caller: Runner,
    file: Annotated[UploadFile, File(description=".tsv .csv .jsonl .parquet .txt in UTF-8, .npz .zip")],
    key: IdempotencyKey = None,
) -> UploadDocument:
    """Upload a file of data."""
    service = service_of(request)
    data = await file.read()
    name = file.filename or "data"
    asked = request_digest("upload", name, objects.digest_of(data))

    def make() -> str:
        return f"upload-{service.upload(caller, name, data).id}"

    row = await slowly(request, lambda: service.own_upload(caller, once(service.database, caller, key, asked, make)))
    response.headers["Location"] = f"/v1/uploads/upload-{row.id}"
    return upload_document(row)


@ROUTER.get("/uploads")
def list_all_uploads(request: Request, caller: Reader, after: Cursor = 0, limit: Limit = 50) -> Uploads:
    """List the uploads of the caller."""
    rows = list_uploads(service_of(request).database, caller.account.id, after, limit + 1)
    following = rows[limit - 1].id if len(rows) > limit else None
    return Uploads(items=[upload_document(row) for row in rows[:limit]], next=following)


@ROUTER.get("/uploads/{upload}")
def get_one_upload(request: Request, caller: Reader, upload: Id) -> UploadDocument:
    """Say what an upload is."""
    return upload_document(service_of(request).own_upload(caller, upload))


@ROUTER.delete("/uploads/{upload}", status_code=204)
async def delete_one_upload(request: Request, caller: Runner, upload: Id) -> None:
    """Delete an upload; its bytes stay only for as long as a search needs them."""
    service = service_of(request)
    await slowly(request, lambda: service.forget_upload(service.own_upload(caller, upload)))


@ROUTER.post("/proposals")
async def propose_task(request: Request, caller: Runner, splits: Splits) -> Proposal:
    """Look at uploads and propose the task document that fits them, as `automl init` does."""
    return await slowly(request, service_of(request).propose, caller, splits.model_dump(exclude_none=True))
