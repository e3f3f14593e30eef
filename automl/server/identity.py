"""Signing in by OpenID Connect (the extra `oidc`): the code flow with PKCE, state and nonce, done by Authlib.

The settings are `AUTOML_OIDC_ISSUER` and so on; without an issuer there is nothing of this.
"""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import Response
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from automl.errors import InputError
from automl.server.problems import Problem
from storage.keys import Scope

COOKIE = "automl_visit"
VISIT_SECONDS = 600
MOST_VISITS = 10_000
ANSWER_SECONDS = 10.0
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519")
"""Signatures by a key that only the provider has."""


class IdentitySettings(BaseSettings):
    """Who says who somebody is, and who of them may come in.

    Attributes:
        issuer: URL of the provider, below which `/.well-known/openid-configuration` lies.
        client: Id and `secret` by which the provider knows this service.
        claim: The claim that is an account's name here; an `email` must be verified.
        domains: Of addresses whose owners get an account when they first come, separated by commas; others need one.
        admins: Names that administer, separated by commas.
    """

    model_config = SettingsConfigDict(env_prefix="AUTOML_OIDC_")

    issuer: str | None = None
    client: str = ""
    secret: SecretStr = Field(default=SecretStr(""))
    claim: str = "email"
    domains: str = ""
    admins: str = ""

    def check(self) -> None:
        """Refuse what could not work, or would send secrets in clear text.

        Raises:
            InputError: It is so.
        """
        if self.issuer is None:
            return
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise InputError(f"AUTOML_OIDC_ISSUER {self.issuer!r} must begin with https://")
        if not self.client or not self.secret.get_secret_value():
            raise InputError("AUTOML_OIDC_ISSUER needs AUTOML_OIDC_CLIENT and AUTOML_OIDC_SECRET; set both")
        try:
            import authlib  # noqa: F401
        except ModuleNotFoundError:
            raise InputError("AUTOML_OIDC_ISSUER needs Authlib; install automl-seq2seq[oidc]") from None


@dataclass(frozen=True)
class Person:
    """Somebody whom the provider knows.

    Attributes:
        is_welcome: Whether they get an account where they have none.
    """

    name: str
    scope: Scope
    is_welcome: bool


class Provider:
    """The provider of identities; used in one event loop.

    What a browser must bring back is kept in this process, for ten minutes: one that comes back to another replica
    begins again.
    """

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings
        self._visits: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()

    async def begin(self, request: Request, back: str) -> Response:
        """Send a browser to the provider, which sends it back to an address of ours.

        Raises:
            Problem: The provider does not answer (502).
        """
        visit: dict[str, Any] = {}
        request.scope["session"] = visit
        await self._know()
        response: Response = await self._client.authorize_redirect(request, back)
        name = secrets.token_urlsafe(32)
        self._visits[name] = (time.monotonic() + VISIT_SECONDS, visit)
        while len(self._visits) > MOST_VISITS:
            self._visits.popitem(last=False)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, name, max_age=VISIT_SECONDS, httponly=True, samesite="lax", secure=secure)
        return response

    async def complete(self, request: Request) -> Person:
        """Return who has come back.

        Raises:
            Problem: The provider does not answer (502), or does not say who (401), or this is no visit of ours (403).
        """
        from authlib.integrations.base_client.errors import OAuthError
        from joserfc.errors import JoseError

        until, visit = self._visits.pop(request.cookies.get(COOKIE, ""), (0.0, {}))
        state = request.query_params.get("state", "")
        if time.monotonic() > until or not any(name.endswith(f"_{state}") for name in visit if state):
            raise Problem(403, "this way of signing in was not begun here, or ten minutes ago; begin again")
        request.scope["session"] = visit
        await self._know()
        wanted = {
            "iss": {"essential": True, "values": [self._issuer]},
            "aud": {"essential": True, "values": [self._settings.client]},
        }
        try:
            token = await self._client.authorize_access_token(request, claims_options=wanted)
        except (OAuthError, JoseError, ValueError, KeyError):
            raise Problem(401, "the provider of identities did not let you in; try again") from None
        except _silences():
            raise _silent() from None
        return self._person(token.get("userinfo") or {})

    def _person(self, claims: Any) -> Person:
        name = str(claims.get(self._settings.claim) or "")
        unverified = self._settings.claim == "email" and claims.get("email_verified") is not True
        if not name or unverified:
            raise Problem(403, f"the provider of identities gave no {self._settings.claim} that it has verified")
        domain = name.rpartition("@")[2].lower()
        scope: Scope = "admin" if name in _listed(self._settings.admins) else "run"
        welcome = scope == "admin" or ("@" in name and domain in _listed(self._settings.domains.lower()))
        return Person(name, scope, welcome)

    async def _know(self) -> None:
        """Read what the provider says of itself, once; only what it signs by a key of its own is believed."""
        try:
            metadata = await self._client.load_server_metadata()
        except _silences(ValueError):
            raise _silent() from None
        if metadata.get("issuer", "").rstrip("/") != self._issuer.rstrip("/"):
            raise Problem(502, "the provider of identities calls itself otherwise than AUTOML_OIDC_ISSUER")
        named = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = [name for name in named if name in ALGORITHMS]

    @property
    def _issuer(self) -> str:
        return self._settings.issuer or ""

    @cached_property
    def _client(self) -> Any:
        from authlib.integrations.starlette_client import OAuth

        return OAuth().register(
            "provider",
            client_id=self._settings.client,
            client_secret=self._settings.secret.get_secret_value(),
            server_metadata_url=f"{self._issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid email profile",
                "code_challenge_method": "S256",
                "timeout": ANSWER_SECONDS,
            },
        )


def _silences(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Return what no answer is: Authlib asks by httpx2 where that is installed, and by httpx elsewhere."""
    names = [name for name in ("httpx", "httpx2") if find_spec(name) is not None]
    return (*others, *(import_module(name).HTTPError for name in names))


def _silent() -> Problem:
    return Problem(502, "the provider of identities does not answer; try again, or sign in with a key")


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]
