"""How a service is run."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from automl.errors import InputError
from automl.server.documents import LONGEST_SOURCE, MOST_SOURCES
from automl.server.identity import IdentitySettings
from automl.settings import Settings, checkpoint_folder, private_folder, private_place
from storage.objects import Place

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1", "[::1]")
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """What one request, one caller and one account may use, at most.

    Attributes:
        upload_bytes: Of an uploaded file.
        body_bytes: Of any other body.
        unpacked_files: In an uploaded archive, and `unpacked_bytes` of all of them.
        rows: Of an uploaded file that is compressed.
        image_bytes: Of all images of an archive as they are held, and `pixels` as they are read.
        images: That one request has predicted.
        depth: Of nested JSON.
        sources: That one request has predicted.
        source_characters: Of one of them.
        body_seconds: Between two pieces of a body, and of all of it beside what its bytes take at `body_rate` a second.
        header_seconds: Until a connection has sent a whole request's head; likewise for what TLS begins and ends with.
        answer_seconds: Until a client has taken a piece of an answer, of `automl.server.guard.PIECE` bytes.
        rate: Requests a second with one key, over some time; `burst` at once. Of one address ten times as many.
        connections: At a time; a process may often have no more than 1,024 files open.
        watchers: Of them those that watch searches, of which an account may have a tenth.
        searches: Of one account that wait or run at a time.
        storage_bytes: Of all uploads of one account, and what its searches keep.
        compute_seconds: Of all searches of one account; none for as many as it likes.
        keys: Of one account that open, `sessions` likewise, and `uploads` that it keeps.
    """

    upload_bytes: int = 64 * MEBIBYTE
    body_bytes: int = MEBIBYTE
    unpacked_files: int = 50_000
    unpacked_bytes: int = 512 * MEBIBYTE
    rows: int = 5_000_000
    image_bytes: int = 1536 * MEBIBYTE
    pixels: int = 4_000_000_000
    images: int = 16
    depth: int = 32
    sources: int = MOST_SOURCES
    source_characters: int = LONGEST_SOURCE
    body_seconds: float = 10.0
    body_rate: int = 16_384
    header_seconds: float = 10.0
    answer_seconds: float = 30.0
    rate: float = 100.0
    burst: int = 300
    connections: int = 900
    watchers: int = 500
    searches: int = 4
    storage_bytes: int = 10 * 1024 * MEBIBYTE
    compute_seconds: float | None = None
    keys: int = 100
    sessions: int = 100
    uploads: int = 10_000

    def of(self, quotas: Mapping[str, float] | None) -> "Limits":
        """Return the limits of an account with quotas of its own."""
        return self if quotas is None else Limits(**{**vars(self), **quotas})


QUOTAS = ("searches", "storage_bytes", "compute_seconds")
"""The limits that an account may have of its own."""


@dataclass(frozen=True)
class ServerOptions:
    """Where a service listens and where its things lie.

    Attributes:
        hosts: Names by which clients may call it.
        proxies: How many proxies stand in front of it, each trusted, of which the outermost does TLS.
        certificate: File of the certificate chain, and `private_key` of its key.
        dashboard: Whether administrators see optuna-dashboard.
        keep_days: After how many days ended searches and older uploads are purged; none for never.
        unused_days: After how many days uploads are deleted of which no search was made.
        identity: Who else says who somebody is.
    """

    storage: str
    cache: Path
    checkpoints: Place
    host: str = "127.0.0.1"
    port: int = 8470
    hosts: tuple[str, ...] = LOCAL_HOSTS
    proxies: int = 0
    certificate: Path | None = None
    private_key: Path | None = None
    dashboard: bool = True
    keep_days: float | None = None
    unused_days: float = 30.0
    limits: Limits = field(default_factory=Limits)
    identity: IdentitySettings = field(default_factory=lambda: IdentitySettings(issuer=None))

    @property
    def is_local(self) -> bool:
        """Whether it listens to this machine alone."""
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach it by TLS."""
        return self.proxies > 0 or self.certificate is not None

    def check(self) -> None:
        """Refuse to be reached from other machines in clear text.

        Raises:
            InputError: It would be, or half of what TLS needs is missing.
        """
        self.identity.check()
        if (self.certificate is None) != (self.private_key is None):
            raise InputError("TLS needs both --certificate and --private-key; name both, or neither")
        for path in (self.certificate, self.private_key):
            if path is not None and not path.is_file():
                raise InputError(f"{path}: there is no such file; name the certificate and its key in PEM")
        if self.certificate is not None and self.private_key is not None:
            try:
                ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self.certificate, self.private_key)
            except (OSError, ssl.SSLError):
                raise InputError(
                    f"{self.certificate}: is no certificate in PEM of the key {self.private_key}; name two that fit"
                ) from None
        if not self.is_local and not self.is_secure:
            raise InputError(
                f"--host {self.host}: other machines would send their tokens in clear text; give --certificate and "
                "--private-key, or --behind-proxy where a proxy does TLS, or listen to 127.0.0.1"
            )


def server_options(settings: Settings, storage: str, **others: object) -> ServerOptions:
    """Return options with the folders of the settings."""
    place = private_place(checkpoint_folder(storage, settings))
    return ServerOptions(
        storage=storage,
        cache=private_folder(settings.cache),
        checkpoints=place.absolute() if isinstance(place, Path) else place,
        identity=IdentitySettings(),
        **others,  # type: ignore[arg-type]
    )
