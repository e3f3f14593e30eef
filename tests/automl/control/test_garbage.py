import gc
import weakref

import pytest

from automl.control.garbage import DUE, Garbage


class Thing:
    """Something that can be looked for."""


@pytest.fixture(autouse=True)
def due(monkeypatch):
    """Full collections are always due, and nothing that a test froze stays so."""
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, DUE))
    yield
    gc.unfreeze()


def circle():
    """Something that refers to itself."""
    thing = Thing()
    thing.own = thing
    return thing


def test_what_is_alive_is_not_looked_at_again():
    thing = Thing()
    Garbage().look()
    assert not any(other is thing for other in gc.get_objects())


def test_what_is_garbage_is_collected_before_the_rest_is_frozen():
    lost = weakref.ref(circle())
    Garbage().look()
    assert lost() is None


def test_what_became_garbage_while_frozen_is_found_when_everything_is_looked_at_anew():
    garbage, thing = Garbage(), circle()
    for _ in range(4):
        garbage.look()
    lost = weakref.ref(thing)
    del thing
    found = []
    for _ in range(4):
        garbage.look()
        found.append(lost() is None)
    assert found == [False, False, False, True]


def test_nothing_is_collected_where_python_would_not(monkeypatch):
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, DUE - 1))
    Garbage().look()
    gc.disable()
    try:
        monkeypatch.setattr(gc, "get_count", lambda: (0, 0, DUE))
        Garbage().look()
    finally:
        gc.enable()
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("before", [False, True])
def test_a_search_leaves_things_frozen_only_where_some_were_before(before):
    if before:
        gc.freeze()
    garbage = Garbage()
    with garbage:
        garbage.look()
    assert (gc.get_freeze_count() > 0) is before
