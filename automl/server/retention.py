"""What is kept for a time alone goes when that is over: at a start, and every hour."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

from automl.errors import InputError
from automl.leftovers import clear
from automl.server.feed import ENDED
from automl.server.problems import Problem
from automl.server.service import Service
from automl.server.sweeping import sweep
from storage.accounts import list_accounts
from storage.audit import forget_entries
from storage.database import StorageError
from storage.keys import forget_expired
from storage.receipts import forget_receipts
from storage.schema import utc_now
from storage.searches import list_searches
from storage.uploads import forget_unused, list_uploads

AUDIT_KEPT = timedelta(days=365)
RECEIPTS_KEPT = timedelta(days=1)
HOUR = 3600.0
DAY = 24 * HOUR


async def keep_house(service: Service) -> None:
    """Forget what is too old now; where the database or the disk is away, the next time will do."""
    with suppress(StorageError, OSError):
        await asyncio.to_thread(tidy, service, utc_now())


def tidy(service: Service, now: datetime) -> None:
    """Forget what is too old now, and uploads of which nothing came; all of them, and searches, where it is told so."""
    forget_expired(service.database)
    forget_receipts(service.database, RECEIPTS_KEPT)
    forget_entries(service.database, AUDIT_KEPT)
    unused = forget_unused(service.database, now - timedelta(days=service.options.unused_days))
    sweep(service.options, service.database, unused)
    clear(service.options.cache, service.database, service.options.unused_days * DAY)
    if service.options.keep_days is not None:
        purge(service, now - timedelta(days=service.options.keep_days))


def purge(service: Service, before: datetime) -> None:
    """Purge the searches of accounts that ended before a moment, and older uploads; what runs or waits stays."""
    for row in list_searches(service.database):
        if row.account_id is not None and row.updated < before and service.state(row) in ENDED:
            with suppress(Problem, InputError, StorageError):  # somebody has begun it again meanwhile
                service.delete(row, purge=True)
    for account in list_accounts(service.database):
        for upload in list_uploads(service.database, account.id):
            if upload.created < before:
                service.forget_upload(upload)
