"""A new search: drop a file, see what it holds, adjust, start."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from automl.errors import InputError
from automl.server.access import AdmittingRoute, service_of
from automl.server.documents import UPLOAD, Proposal
from automl.server.lanes import slowly
from automl.server.library import reads_images
from automl.server.pages.rendering import render
from automl.server.pages.visitors import Doer
from automl.server.problems import Problem, status_of, told
from automl.tasks import TASKS
from automl.tasks.document import TaskDocument, explained
from search_spaces.presets import PRESETS
from storage.searches import list_searches

ROUTER = APIRouter(route_class=AdmittingRoute)
TOKENS = ("auto", "characters", "whitespace", "bytes", "subwords")
SPLITS = ("train", "valid", "test")
MOST_NAMED = 100
BEGUN = ("unlabelled", "from")
NUMBER = re.compile("[0-9]{1,9}")


@ROUTER.get("/new")
def show_new(request: Request, caller: Doer) -> Response:
    """Ask for data."""
    return render(request, "new.html", caller, wrong=None)


@ROUTER.post("/new")
async def upload_and_propose(
    request: Request,
    caller: Doer,
    train: Annotated[UploadFile, File()],
    valid: Annotated[UploadFile | None, File()] = None,
    test: Annotated[UploadFile | None, File()] = None,
    unlabelled: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Keep the files, look at them, and propose what could be searched for."""
    service = service_of(request)
    files = {"train": train, "valid": valid, "test": test, "unlabelled": unlabelled}
    given = {name: file for name, file in files.items() if file and file.filename}
    try:
        if "train" not in given:
            raise Problem(422, "choose a file with rows to learn from")
        rows = {
            name: await slowly(request, service.upload, caller, file.filename or name, await file.read())
            for name, file in given.items()
        }
        uploads = {name: f"upload-{row.id}" for name, row in rows.items()}
        splits = {name: upload for name, upload in uploads.items() if name in SPLITS}
        proposal = await slowly(request, service.propose, caller, splits)
    except (Problem, InputError) as error:
        return render(request, "new.html", caller, status_of(error), wrong=told(error))
    document = proposal.document
    fields = {
        "name": document["name"],
        "kind": document["kind"],
        "time": "10m",
        "preset": "small",
        **document["data"],
        **({"unlabelled": uploads["unlabelled"]} if "unlabelled" in uploads else {}),
    }
    return _adjust(request, caller, fields, proposal)


@ROUTER.post("/new/start")
async def start_search(request: Request, caller: Doer) -> Response:
    """Submit what was adjusted."""
    fields = {name: str(value).strip() for name, value in (await request.form()).items() if str(value).strip()}
    try:
        task = TaskDocument.model_validate(document_of(fields))
        row = await slowly(request, service_of(request).submit, caller, task)
    except ValidationError as error:
        status, wrong = 422, "; ".join(map(explained, error.errors()))
    except (Problem, InputError) as error:
        status, wrong = status_of(error), told(error)
    else:
        return RedirectResponse(f"/searches/{row.name}", 303)
    seen = await slowly(request, _seen_before, request, caller, fields)
    return _adjust(request, caller, fields, seen, status, wrong)


def document_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the task document that a form says; what is left empty is left out."""
    names = (*SPLITS, "source", "target", "weight", "source_tokens", "target_tokens")
    data: dict[str, Any] = {name: fields[name] for name in names if name in fields}
    data |= {side: _columns(data[side]) for side in ("source", "target", "weight") if side in data}
    document: dict[str, Any] = {"name": fields.get("name", ""), "data": data}
    document |= {"kind": fields["kind"]} if "kind" in fields else {}
    document["budget"] = {"time": fields["time"]} if "time" in fields else {}
    if "trials" in fields:
        document["budget"]["trials"] = _number(fields["trials"])
    document |= {"metric": {"name": fields["metric"]}} if "metric" in fields else {}
    document |= {"space": {"preset": fields["preset"]}} if "preset" in fields else {}
    begun = {name: fields[name] for name in BEGUN if name in fields}
    document |= {"pretraining": begun} if begun else {}
    return document


def _columns(said: str) -> Any:
    """Return a column's name or number, or the list of several, of a field."""
    try:
        return json.loads(said) if said.startswith("[") else _number(said)
    except (ValueError, RecursionError):
        return said


def _number(said: str) -> int | str:
    return int(said) if NUMBER.fullmatch(said) else said


def _seen_before(request: Request, caller: Doer, fields: Mapping[str, str]) -> Proposal | None:
    """Return what was seen of the files of a form, which it uses from now on; nothing where they are not there."""
    for name in (*SPLITS, *BEGUN):
        if re.fullmatch(UPLOAD, fields.get(name, "")):
            with suppress(Problem):
                service_of(request).use_upload(caller, fields[name])
    uploads = {split: fields[split] for split in SPLITS if re.fullmatch(UPLOAD, fields.get(split, ""))}
    if "train" in uploads:
        with suppress(Problem, InputError):
            return service_of(request).propose(caller, uploads)
    return None


def _adjust(
    request: Request,
    caller: Doer,
    fields: Mapping[str, Any],
    seen: Proposal | None,
    status: int = 200,
    wrong: str | None = None,
) -> Response:
    kind = TASKS.get(str(fields.get("kind")))
    is_of_images = kind is not None and kind.form.reads_images
    kinds = [name for name, other in TASKS.items() if other.form.reads_images == is_of_images]
    metrics = sorted({name for known in kinds for name in TASKS[known].metrics})
    choices: dict[str, Any] = {"kinds": kinds, "tokens": TOKENS, "presets": list(PRESETS), "metrics": metrics}
    choices |= {"is_of_images": is_of_images, "finished": [] if is_of_images else _finished(request, caller)}
    return render(request, "adjust.html", caller, status, **choices, fields=fields, seen=seen, wrong=wrong)


def _finished(request: Request, caller: Doer) -> list[str]:
    """Return the names of searches whose winner others can begin from, newest first."""
    service = service_of(request)
    mine = [row for row in list_searches(service.database) if row.account_id == caller.account.id]
    return [row.name for row in reversed(mine) if row.state == "finished" and not reads_images(row)][:MOST_NAMED]
