"""What is too old is purged where the service says so, and nothing else."""

from dataclasses import replace
from datetime import timedelta

from automl.privacy import key_file, key_name, secret_key
from automl.server.retention import tidy
from automl.settings import Settings
from storage.schema import utc_now
from storage.searches import list_searches


def names(place):
    return [row.name for row in list_searches(place.database)]


def test_ended_searches_and_uploads_are_purged_after_so_many_days(place):
    ada = place.person()
    place.submit(ada, "old")
    place.work()
    place.submit(ada, "waiting")
    keys = {row.name: key_file(Settings().privacy_keys, key_name(row)) for row in list_searches(place.database)}
    for row in list_searches(place.database):  # as private searches have them
        secret_key(Settings().privacy_keys, key_name(row))
    service = place.app.state.service
    later = utc_now() + timedelta(days=8)
    tidy(service, later)
    assert names(place) == ["old", "waiting"]
    keeping = replace(service, options=replace(service.options, keep_days=7))
    tidy(keeping, utc_now() + timedelta(days=6))
    assert names(place) == ["old", "waiting"]
    tidy(keeping, later)
    assert names(place) == ["waiting"]
    assert {name: key.exists() for name, key in keys.items()} == {"old": False, "waiting": True}
    assert ada.get("/v1/uploads").json()["items"] == []
    place.work()  # what waits has kept its data
    assert ada.get("/v1/searches/waiting").json()["state"] == "finished"
