"""The Optuna study beside our tables: a mirror for Optuna's own tools, from which nothing of ours reads.

Optuna makes the tables and the study. Trials are written into them in bulk, since by Optuna's own calls one of ten
reports costs some 75 ms.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, bindparam, delete, select, update

from storage.database import Database, Transaction
from storage.leases import Lease
from storage.schema import insertion, utc_now
from storage.searches import guard
from storage.studies import PATIENCE, study_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from storage.trials import TrialState


@dataclass(frozen=True)
class MirrorTrial:
    """A trial as Optuna shall show it.

    Attributes:
        params: Value by flat dial name; read when the trial is new to the study.
        distributions: Optuna distribution by the same names, likewise.
        intermediate_values: Objective by target tokens.
        values: One a direction, for a COMPLETE trial.
    """

    number: int
    state: "TrialState"
    params: Mapping[str, Any]
    distributions: Mapping[str, "BaseDistribution"]
    intermediate_values: Mapping[int, float] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    started: datetime | None = None
    ended: datetime | None = None


class Mirror:
    """Writes trials to the Optuna study of a search; errors are for the caller to contain."""

    def __init__(self, database: Database, search_name: str, directions: Sequence[str] = ("minimize",)) -> None:
        """Create the study, or go on with the one that is there.

        Raises:
            ValueError: The study that is there has other directions.
        """
        self._database = database
        self._study = study_of(database.url, search_name, directions)
        self._tables = _Tables()
        self._told = self._read()

    def __contains__(self, number: int) -> bool:
        """Whether the study has the trial of that number."""
        return number in self._told

    def update(self, rows: Sequence[MirrorTrial], lease: Lease | None = None) -> None:
        """Bring the study up to these trials in one transaction, which waits only briefly for others that use it.

        New ones are added, finished ones told once, the rest is RUNNING.

        Args:
            lease: Nothing is written unless it is the newest on the search.

        Raises:
            BusyError: Others are in the way; it may be tried again.
            LeaseLost: A newer epoch exists.
            ValueError: A trial is new and trials before it are neither there nor given.
        """
        ordered = sorted(rows, key=lambda row: row.number)
        new = [row for row in ordered if row.number not in self._told]
        for row, number in zip(new, range(len(self._told), len(self._told) + len(new)), strict=True):
            if row.number != number:
                raise ValueError(f"trial {row.number} cannot be mirrored before trial {number}")
        going_on = [row for row in ordered if row.number in self._told and not self._told[row.number].finished]

        if new or going_on:
            with self._database.write(PATIENCE) as transaction:
                told = self._add(transaction, new) | {row.number: self._told[row.number] for row in going_on}
                told = self._tell(transaction, told, [*new, *going_on])
                if lease is not None:
                    guard(transaction, lease)  # last: the search is not locked while others lock Optuna's tables
            self._told |= told

    def _read(self) -> dict[int, "_Told"]:
        """What the study holds; of finished trials only that they are."""
        tables = self._tables
        trials, values, attrs = tables.trials, tables.intermediate_values, tables.user_attributes
        told: dict[int, _Told] = {}
        with self._database.write(PATIENCE) as transaction:
            session = transaction.session
            ours = trials.c.study_id == self._study
            for row in session.execute(select(trials.c.trial_id, trials.c.number, trials.c.state).where(ours)):
                told[row[1]] = _Told(row[0], finished=row[2].is_finished())
            open_ = {found.identity: found for found in told.values() if not found.finished}
            running = trials.c.state == "RUNNING"
            steps = select(values.c.trial_id, values.c.step).join(trials).where(ours, running)
            for identity, step in session.execute(steps):
                open_[identity].steps.add(step)
            named = select(attrs.c.trial_id, attrs.c.key, attrs.c.value_json).join(trials).where(ours, running)
            for identity, key, value in session.execute(named):
                open_[identity].attrs[key] = value
        return told

    def _add(self, transaction: Transaction, new: Sequence[MirrorTrial]) -> dict[int, "_Told"]:
        if not new:
            return {}
        tables = self._tables
        rows = [
            {"number": row.number, "study_id": self._study, "state": "RUNNING", "datetime_start": _utc(row.started)}
            for row in new
        ]
        transaction.run_many(tables.add_trial, rows)
        values = {"study": self._study, "least": new[0].number}
        identities = {number: identity for identity, number in transaction.rows(tables.added, values)}
        transaction.run_many(
            tables.add_parameter, [part for row in new for part in tables.parameters(identities[row.number], row)]
        )
        return {row.number: _Told(identities[row.number], finished=False) for row in new}

    def _tell(
        self, transaction: Transaction, told: Mapping[int, "_Told"], rows: Sequence[MirrorTrial]
    ) -> dict[int, "_Told"]:
        """Write what has come to trials that are RUNNING in the study; return what it holds then."""
        tables, after = self._tables, {row.number: told[row.number].after(row) for row in rows}
        steps = [part for row in rows for part in told[row.number].new_steps(row)]
        transaction.run_many(tables.add_intermediate_value, steps)
        changed = [part for row in rows for part in told[row.number].new_attrs(row)]
        old = [{"trial": told[row.number].identity, "name": key} for row in rows for key in told[row.number].stale(row)]
        transaction.run_many(tables.drop_attribute, old)
        transaction.run_many(tables.add_attribute, changed)
        ended = [row for row in rows if after[row.number].finished]
        finals = [
            {"trial_id": told[row.number].identity, "objective": place, "value": value, "value_type": "FINITE"}
            for row in ended
            for place, value in enumerate(row.values if row.state == "COMPLETE" else ())
        ]
        transaction.run_many(tables.add_value, finals)
        ends = [
            {
                "trial": told[row.number].identity,
                "end": "COMPLETE" if row.state == "COMPLETE" else "FAIL",
                "moment": _utc(row.ended),
            }
            for row in ended
        ]
        transaction.run_many(tables.end_trial, ends)
        return after


@dataclass(frozen=True)
class _Told:
    """What the study holds of a trial; `attrs` are JSON texts by key."""

    identity: int
    finished: bool
    steps: set[int] = field(default_factory=set)
    attrs: dict[str, str] = field(default_factory=dict)

    def new_steps(self, row: MirrorTrial) -> Iterator[dict[str, Any]]:
        for step, value in row.intermediate_values.items():
            if step not in self.steps:
                yield {
                    "trial_id": self.identity,
                    "step": step,
                    "intermediate_value": value,
                    "intermediate_value_type": "FINITE",
                }

    def new_attrs(self, row: MirrorTrial) -> Iterator[dict[str, Any]]:
        for key, value in row.user_attrs.items():
            text = json.dumps(value)
            if self.attrs.get(key) != text:
                yield {"trial_id": self.identity, "key": key, "value_json": text}

    def stale(self, row: MirrorTrial) -> list[str]:
        return [key for key, value in row.user_attrs.items() if self.attrs.get(key) not in (None, json.dumps(value))]

    def after(self, row: MirrorTrial) -> "_Told":
        attrs = self.attrs | {key: json.dumps(value) for key, value in row.user_attrs.items()}
        finished = row.state in ("COMPLETE", "FAILED")
        return _Told(self.identity, finished, self.steps | set(row.intermediate_values), attrs)


class _Tables:
    """Optuna's tables, and the statements that fill them."""

    def __init__(self) -> None:
        from optuna.storages._rdb import models

        self.trials: Table = models.TrialModel.__table__
        self.intermediate_values: Table = models.TrialIntermediateValueModel.__table__
        self.user_attributes: Table = models.TrialUserAttributeModel.__table__
        parameters: Table = models.TrialParamModel.__table__
        values: Table = models.TrialValueModel.__table__
        self.add_trial = insertion(self.trials, "number", "study_id", "state", "datetime_start")
        self.add_parameter = insertion(parameters, "trial_id", "param_name", "param_value", "distribution_json")
        self.add_value = insertion(values, "trial_id", "objective", "value", "value_type")
        self.add_attribute = insertion(self.user_attributes, "trial_id", "key", "value_json")
        self.add_intermediate_value = insertion(
            self.intermediate_values, "trial_id", "step", "intermediate_value", "intermediate_value_type"
        )
        trial = self.trials.c
        self.added = select(trial.trial_id, trial.number).where(
            trial.study_id == bindparam("study"), trial.number >= bindparam("least")
        )
        self.drop_attribute = delete(self.user_attributes).where(
            self.user_attributes.c.trial_id == bindparam("trial"), self.user_attributes.c.key == bindparam("name")
        )
        self.end_trial = (
            update(self.trials)
            .where(trial.trial_id == bindparam("trial"))
            .values(state=bindparam("end"), datetime_complete=bindparam("moment"))
        )

    @cached_property
    def _texts(self) -> "dict[int, tuple[BaseDistribution, str]]":
        """The JSON of each distribution, by its identity, for as long as it lives here."""
        return {}

    def parameters(self, identity: int, row: MirrorTrial) -> Iterator[dict[str, Any]]:
        """The parameters of a trial as rows."""
        for name, value in row.params.items():
            distribution = row.distributions[name]
            yield {
                "trial_id": identity,
                "param_name": name,
                "param_value": distribution.to_internal_repr(value),
                "distribution_json": self._text(distribution),
            }

    def _text(self, distribution: "BaseDistribution") -> str:
        known = self._texts.get(id(distribution))
        if known is None:
            from optuna.distributions import distribution_to_json

            known = self._texts[id(distribution)] = (distribution, distribution_to_json(distribution))
        return known[1]


def _utc(moment: datetime | None) -> datetime:
    """Optuna keeps UTC without a zone."""
    return (moment or utc_now()).astimezone(UTC).replace(tzinfo=None)
