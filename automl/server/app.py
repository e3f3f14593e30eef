"""The application: its routes in their order, and what it keeps while it runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp

from automl.server import api, audit, dashboard, health, pages, problems
from automl.server.application import Application
from automl.server.feed import Feed
from automl.server.gauges import Gauges
from automl.server.guard import Guard
from automl.server.identity import Provider
from automl.server.keyring import Keyring
from automl.server.lanes import PREDICTING, SLOW, Lane, Seats, narrow
from automl.server.library import Library
from automl.server.options import ServerOptions
from automl.server.predictors import Predictors
from automl.server.proxies import Forwarded
from automl.server.retention import HOUR, keep_house
from automl.server.rows import Rows
from automl.server.service import Service
from automl.server.upkeep import Upkeep
from storage.database import Database


def create_app(options: ServerOptions, database: Database, predictors: Predictors | None = None) -> FastAPI:
    """Return the application of a service; the caller opens and closes the database."""
    app = Application(
        title="automl",
        version=_version(),
        summary="Submit a task, watch it, take the model home.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        generate_unique_id_function=_operation,
    )
    rows, upkeep = Rows(database), Upkeep()
    app.state.service = Service(
        options=options,
        database=database,
        library=Library(database),
        keyring=Keyring(database),
        feed=Feed(database, on_news=rows.forget, upkeep=upkeep),
        predictors=predictors or Predictors(),
        rows=rows,
        upkeep=upkeep,
    )
    app.state.gauges = Gauges()
    app.state.slow, app.state.predicting, app.state.seats = Lane(SLOW), Lane(PREDICTING), Seats()
    app.state.provider = None if options.identity.issuer is None else Provider(options.identity)
    problems.install(app)
    app.include_router(health.ROUTER)
    app.include_router(api.router())
    pages.install(app)
    app.include_router(pages.router())
    app.state.shows_dashboard = options.dashboard and dashboard.is_installed()
    if app.state.shows_dashboard:
        shown = dashboard.Dashboard(database)
        for prefix in dashboard.PREFIXES:
            app.mount(prefix, shown, f"dashboard {prefix}")
    app.add_middleware(audit.Audit, database=database)
    return app


def guarded(app: FastAPI) -> ASGIApp:
    """Return an application with what stands before every request, errors included."""
    options: ServerOptions = app.state.service.options
    guard = Guard(app, options, app.state.gauges)
    return Forwarded(guard, options.proxies) if options.proxies else guard


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    narrow()
    house = asyncio.create_task(service.upkeep.repeat("keeping house", partial(keep_house, service), HOUR))
    yield
    house.cancel()
    service.feed.close()
    service.predictors.close()


def _operation(route: APIRoute) -> str:
    return route.name


def _version() -> str:
    try:
        return version("automl-seq2seq")
    except PackageNotFoundError:
        return "0"
