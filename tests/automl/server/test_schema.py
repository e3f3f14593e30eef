"""Requests made from the OpenAPI document: none makes the service fail, or answer otherwise than the document says."""

import hypothesis
import pytest
import schemathesis
from hypothesis import Phase, settings
from schemathesis.checks import CHECKS, load_all_checks

from automl.server.app import guarded

load_all_checks()
UNSAID = ("positive_data_acceptance",)
"""A document that its schema allows may name what is not there, such as a metric or an upload: that is refused."""
MADE_GOOD = ("negative_data_rejection",)
"""In a sequence each request has a key, also one that was drawn as wrong for want of one, and a number drawn for a form's
file is sent as its bytes."""


def checks(unsaid=UNSAID):
    return [check for name in CHECKS.get_all_names() if name not in unsaid for check in CHECKS.get_by_names([name])]


@pytest.fixture
def schema(place):
    place.options.checkpoints.mkdir()
    place.submit(place.person("ada", "admin"))
    place.work()
    found = schemathesis.openapi.from_asgi("/openapi.json", guarded(place.app), headers={"Host": "testserver"})
    token = place.token("ada", "admin")
    return found.exclude(path_regex="/events$|/model$|/keys/|accounts/"), {
        "Authorization": f"Bearer {token}",
        "Host": "testserver",
    }


def exercise(schema, headers, examples):
    limits = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    for operation in schema.get_all_operations():
        call_all(operation.ok(), headers, limits)


def call_all(operation, headers, limits):
    @hypothesis.given(case=operation.as_strategy())
    @limits
    def call(case):
        response = case.call(headers=headers)
        assert response.status_code < 500 or response.status_code == 503, (operation.label, response.text)
        case.validate_response(response, checks=checks(), headers=headers)

    call()


def test_no_request_makes_the_service_fail(schema):
    exercise(*schema, 3)


@pytest.mark.slow
def test_no_request_of_many_makes_the_service_fail(schema):
    exercise(*schema, 50)


@pytest.mark.slow
def test_no_sequence_of_requests_makes_the_service_fail(schema):
    found, headers = schema

    class Machine(found.as_state_machine()):
        def get_call_kwargs(self, case):
            return {"headers": headers}

        def validate_response(self, response, case, **_):
            assert response.status_code < 500 or response.status_code == 503, response.text
            case.validate_response(response, checks=checks((*UNSAID, *MADE_GOOD)), headers=headers)

    # What schemathesis draws depends on earlier answers, which hypothesis takes for a flaw of a longer run.
    limits = settings(max_examples=2, stateful_step_count=10, deadline=None, database=None, phases=[Phase.generate])
    for _ in range(20):
        Machine.run(settings=limits)
