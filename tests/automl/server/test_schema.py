"""Requests made from the OpenAPI document, right ones and wrong ones: none makes the service fail, or answer otherwise
than the document says."""

import asyncio

import hypothesis
import pytest
import schemathesis
from hypothesis import Phase, settings, strategies
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.parameters import ParameterLocation

from automl.bundle import write_bundle
from automl.server.app import guarded

load_all_checks()
HOST = {"Host": "testserver"}
JUDGED = {"POST /v1/searches", "POST /v1/tasks/validate", "POST /v1/proposals", "PUT /v1/searches/{name}/budget"}
"""A task document may be as its schema wants and still be refused: its metric may not suit its data."""
DISABLED = "PUT /v1/accounts/{name}/quotas"
"""An account that was deleted is disabled: what it owns stays, and so do its quotas."""
STREAM_SECONDS = 0.5


def checks(operation):
    unsaid = ("positive_data_acceptance",) if operation.label in JUDGED else ()
    unsaid += ("use_after_free",) if operation.label == DISABLED else ()
    return [check for name in CHECKS.get_all_names() if name not in unsaid for check in CHECKS.get_by_names([name])]


def headers_of(case, key):
    """The key of a case, unless the case is about wrong headers, of which the key is one."""
    wrong = case.meta is not None and case.meta.is_negative_at(ParameterLocation.HEADER)
    return HOST if wrong else {**HOST, "Authorization": f"Bearer {key()}"}  # a new one: an earlier one may be revoked


def is_drawn_as_sent(context, body):
    """Whether a body is what arrives: what is drawn for a file and is no text is sent as its JSON, a good file."""
    drawn = [body.get(name) for name in ("file", "images")] if isinstance(body, dict) else []
    files = [file for each in drawn for file in (each if isinstance(each, list) else [each])]
    return not any(isinstance(file, int | float | dict) for file in files)


def watched_briefly(app):
    """An application whose events are watched for a moment: they have no end while a search waits or runs."""

    async def serve(scope, receive, send):
        try:
            async with asyncio.timeout(STREAM_SECONDS if scope.get("path", "").endswith("/events") else None):
                await app(scope, receive, send)
        except TimeoutError:
            await send({"type": "http.response.body", "body": b""})

    return serve


@pytest.fixture
def schema(place, monkeypatch):
    """The API's schema, and what makes a key; what a case disables, revokes or deletes is this test's alone."""
    monkeypatch.setattr("automl.server.models.export", lambda bundle, folder, *_: write_bundle(bundle, folder))
    place.options.checkpoints.mkdir()
    place.submit(place.person("ada", "admin"))
    place.work()
    found = schemathesis.openapi.from_asgi("/openapi.json", watched_briefly(guarded(place.app)), headers=HOST)
    found.hooks.hook("filter_body")(is_drawn_as_sent)
    return found, lambda: place.token("ada", "admin")


def exercise(schema, key, examples):
    limits = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    for operation in schema.get_all_operations():
        call_all(operation.ok(), key, limits)


def call_all(operation, key, limits):
    drawn = strategies.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @hypothesis.given(case=drawn)
    @limits
    def call(case):
        headers = headers_of(case, key)
        response = case.call(headers=headers)
        assert response.status_code < 500 or response.status_code == 503, (operation.label, response.text)
        case.validate_response(
            response, checks=checks(operation), headers=headers, transport_kwargs={"headers": headers}
        )

    call()


def test_no_request_makes_the_service_fail(schema):
    exercise(*schema, 4)


@pytest.mark.slow
def test_no_request_of_many_makes_the_service_fail(schema):
    exercise(*schema, 50)


@pytest.mark.slow
def test_no_sequence_of_requests_makes_the_service_fail(schema):
    found, key = schema

    class Machine(found.as_state_machine()):
        def get_call_kwargs(self, case):
            return {"headers": headers_of(case, key)}

        def validate_response(self, response, case, additional_checks=None, **kwargs):
            assert response.status_code < 500 or response.status_code == 503, response.text
            case.validate_response(
                response, checks=checks(case.operation), **kwargs, transport_kwargs=kwargs, recorder=self.recorder
            )

    # What schemathesis draws depends on earlier answers, which hypothesis takes for a flaw of a longer run.
    limits = settings(max_examples=2, stateful_step_count=10, deadline=None, database=None, phases=[Phase.generate])
    for _ in range(20):
        Machine.run(settings=limits)
