"""What is kept for a time alone goes when that is over: at a start, and every hour."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

from automl.errors import InputError
from automl.server.feed import ENDED
from automl.server.problems import Problem
from automl.server.service import Service
from storage.accounts import list_accounts
from storage.audit import forget_entries
from storage.database import StorageError
from storage.keys import forget_expired
from storage.receipts import forget_receipts
from storage.schema import utc_now
from storage.searches import list_searches
from storage.uploads import list_uploads

AUDIT_KEPT = timedelta(days=365)
RECEIPTS_KEPT = timedelta(days=1)
HOUR = 3600.0


async def keep_house(service: Service) -> None:
    """Forget what is too old now; where the database or the disk is away, the next time will do."""
    with suppress(StorageError, OSError):
        await asyncio.to_thread(tidy, service, utc_now())


def tidy(service: Service, now: datetime) -> None:
    """Forget what is too old now; searches and uploads, too, where the service keeps them for some days only."""
    forget_expired(service.database)
    forget_receipts(service.database, RECEIPTS_KEPT)
    forget_entries(service.database, AUDIT_KEPT)
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
