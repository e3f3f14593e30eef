"""What a task document asks for, as the controller and the service have to know it: its space, criteria and plan."""

from collections.abc import Mapping
from typing import Any

from automl.budget import parse_duration
from automl.constraints import Constraints
from automl.control.criteria import Criteria
from automl.control.earlier import Profile
from automl.control.plan import Plan
from automl.data.corpus import Corpus
from automl.data.table import TokenTable
from automl.errors import InputError
from automl.finishes import finish_of, kept_for, searching
from automl.metrics.costs import COSTS, objective
from automl.pretraining import bundle_shape, fine_tuning_space, start_narrowing
from automl.privacy import FIXED
from automl.tasks import TASKS
from automl.tasks.document import TaskDocument
from search_spaces.dials import SpaceError
from search_spaces.presets import preset
from search_spaces.spaces import Space, refuse_excluded, refuse_idle
from storage import objects

LEASE_SECONDS = 60.0
BEGINNING = ("start", "tuned", "lora_rank", "lora_alpha")
"""Dials of how trials go on from parameters that there are."""


def space_of(document: TaskDocument, corpus: Corpus | None = None) -> Space:
    """Return the space of a document; the corpus says what its tokens may be.

    Raises:
        InputError: A dial is unknown, out of its range or excluded by another, or tokens are said twice.
    """
    for side, tokens in (
        ("source_tokens", document.data.source_tokens),
        ("target_tokens", document.data.target_tokens),
    ):
        if side in document.space and tokens not in ("auto", "subwords"):
            raise InputError(f'[space] {side} and [data] {side} = "{tokens}" exclude each other; leave one out')
    if document.pretraining is None and (idle := [dial for dial in BEGINNING if dial in document.space]):
        raise InputError(
            f"[space] {idle[0]} is for training that has begun before; give [pretraining], or leave it out"
        )
    narrowing = {**start_narrowing(document), **document.narrowed_space}
    name = str(narrowing.pop("preset", "small"))
    left = {} if corpus is None else corpus.narrowing
    if document.privacy is not None:
        narrowing |= FIXED
    try:
        if (shape := bundle_shape(document)) is not None:
            return fine_tuning_space(document, shape)
        space = preset(name, {**left, **narrowing}, sources=document.form.has_sources)
        refuse_idle(space, document.space)
        refuse_excluded(space, {dial: wanted for dial, wanted in document.space.items() if dial != "preset"})
    except SpaceError as error:
        raise InputError(f"[space] {error}") from None
    return space.preferring(TASKS[document.kind].preferred)


def criteria_of(document: Mapping[str, Any]) -> Criteria:
    """Return by what the trials of a search are judged, from its document as plain values."""
    names = document.get("metric", {}).get("name", TASKS[document["kind"]].metrics[0])
    first, *others = map(objective, names if isinstance(names, list) else [names])
    latency = document.get("constraints", {}).get("latency")
    return Criteria(first, tuple(others), {} if latency is None else {"latency": parse_duration(latency)})


def plan_of(
    document: TaskDocument,
    space: Space,
    table: TokenTable,
    checkpoints: objects.Place,
    spent: float,
    pretraining: float = 0.0,
) -> Plan:
    """Return what the controller has to know; `spent` seconds are gone already, of computing those of `pretraining`."""
    constraints = Constraints(document.most, table, document.latency)
    counted, finish = set(document.metrics) & COSTS.keys(), finish_of(document)
    return Plan(
        space=space,
        criteria=criteria_of(document.to_mapping()),
        budget=searching(document, pretraining),
        checkpoints=checkpoints,
        pass_tokens=table.said_tokens("train"),
        seed=document.seed.value,
        admissible=constraints.admit,
        why_none=constraints.explain,
        costs=lambda configuration: constraints.costs(counted, configuration),
        learn=constraints.learn,
        refused=lambda: constraints.refused,
        valid_rows=table.split("valid").effective_rows,
        test_share=table.split("test").rows / max(table.split("valid").rows, 1),
        says_texts=table.corpus.tokens[1] != "whole",
        seconds_a_token=constraints.seconds_a_token,
        spent=spent,
        reserve=kept_for(document),
        lease_seconds=LEASE_SECONDS,
        ensembles=finish != "single",
        distils=finish == "distill",
        most_parameters=document.most.get("parameters") if finish == "ensemble" else None,
    )


def profile_of(table: TokenTable) -> Profile:
    """Return what train looks like, to be found by later searches."""
    train, vocabulary = table.split("train"), table.meta["vocabulary"]
    source, target = (int(offsets[-1]) / train.rows for offsets in (train.source_offsets, train.target_offsets))
    return Profile(train.rows, max(source, 1.0), max(target, 1.0), vocabulary["source"], vocabulary["target"])
