"""Who asks, where proxies stand between: what they add to a request is believed, and nothing that came before them."""

from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send


class Forwarded:
    """ASGI middleware outside of the guard: gives a request the address and the scheme that trusted proxies say.

    Each proxy appends to `X-Forwarded-For` who has connected to it. With one proxy the last address is believed, with
    two the last but one; what stands before was sent by who asks, and may say anything.
    """

    def __init__(self, app: ASGIApp, proxies: int) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            address = forwarded_for(headers.getlist("x-forwarded-for"), self._proxies)
            if address is not None:
                scope["client"] = (address, 0)
            scheme = ",".join(headers.getlist("x-forwarded-proto")).rpartition(",")[2].strip().lower()
            if scheme in ("http", "https"):
                scope["scheme"] = scheme
        await self._app(scope, receive, send)


def forwarded_for(values: list[str], proxies: int) -> str | None:
    """Return the address that the outermost of so many proxies saw; none where none is said, or what is said is none.

    Args:
        values: Of each `X-Forwarded-For`, in their order.
    """
    addresses = [address.strip() for value in values for address in value.split(",")]
    if not addresses:
        return None
    said = addresses[max(len(addresses) - proxies, 0)]
    host = (
        said[1:].partition("]")[0] if said.startswith("[") else said.partition(":")[0] if said.count(":") == 1 else said
    )
    try:
        return str(ip_address(host))
    except ValueError:
        return None
