"""What the service shows and keeps of the rows that are uploaded to it: the file itself, and nothing of it elsewhere."""

import hashlib
import io
import re
import zipfile

from tests.automl.marked import MARKER, marker
from tests.automl.server.test_pages import hidden

ROWS = "".join(f"{marker(n)}\t{marker(n)[:4]}\n" for n in range(1000))
PAGES = ("", "/live", "/trials/0", "/compare?trial=0&trial=2", "/try")
DOCUMENTS = ("", "/trials", "/trials/0", "/report", "/report.html")


def test_rows_are_on_no_page_and_in_no_column(place):
    ada, answers = place.browser(), {}
    fields = hidden(ada.get("/new").text)
    answers["looked at"] = ada.post("/new", data=fields, files={"train": ("words.tsv", ROWS)})
    fields = hidden(answers["looked at"].text) | {"name": "words", "time": "", "trials": "4", "preset": "small"}
    answers["started"] = ada.post("/new/start", data=fields)
    place.work()
    answers |= {page: ada.get(f"/searches/words{page}") for page in PAGES}
    person = place.person()
    for path in DOCUMENTS:
        answers[f"v1{path}"] = person.get(f"/v1/searches/words{path}")
    answers["uploads"], answers["metrics"] = person.get("/v1/uploads"), place.person("eve", "admin").get("/metrics")
    model = ada.get("/searches/words/model")
    with zipfile.ZipFile(io.BytesIO(model.content)) as archive:
        assert [name for name in archive.namelist() if MARKER.search(archive.read(name))] == []
    assert {name: each.status_code for name, each in answers.items() if each.status_code >= 400} == {}
    assert [name for name, each in answers.items() if MARKER.search(each.content)] == []
    kept = [path for path in place.folder.rglob("*") if path.is_file() and MARKER.search(path.read_bytes())]
    uploaded = hashlib.sha256(ROWS.encode()).hexdigest()
    digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept if "corpora" not in path.parts}
    assert set(digests.values()) == {uploaded}


def test_what_is_wrong_with_an_upload_is_said_without_it(place):
    ada = place.browser()
    csrf = {"csrf": place.form_token(ada)}
    for name, text in (("one.tsv", f"{marker(1)}\n"), ("broken.jsonl", f'{{"source": "{marker(1)}"\n')):
        answer = ada.post("/new", data=csrf, files={"train": (name, text)})
        assert answer.status_code == 422
        assert not re.search(MARKER, answer.content)
