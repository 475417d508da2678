"""Who a visitor is: a random id in a signed cookie, and nothing else."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

COOKIE = "visitor"
# Browsers accept a cookie of this name only over HTTPS and only from this very host:
# https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes
SECURE_COOKIE = "__Host-visitor"
# The cookie is renewed by each answer and must outlive the last upload made with it.
SPARE = timedelta(days=1)


def known(request: HttpRequest) -> uuid.UUID | None:
    """The visitor's id; None if there is no cookie, if we did not sign it, or if it is older than
    any upload made with it could be.

    Over HTTPS, a cookie with the plain name, from an earlier release, is valid until it is that
    old. Each name is signed for itself, and no new cookie gets the plain name over HTTPS.
    """
    for name in [SECURE_COOKIE, COOKIE] if request.is_secure() else [COOKIE]:
        signed = request.get_signed_cookie(name, default=None, salt=name, max_age=max_age())
        if signed:
            return uuid.UUID(signed)
    return None


def recognise(request: HttpRequest) -> uuid.UUID:
    """The visitor's id; a new one for an unknown visitor."""
    return known(request) or uuid.uuid4()


def remember(request: HttpRequest, response: HttpResponseBase, visitor: uuid.UUID) -> None:
    """Give the visitor the cookie, or renew it."""
    name = SECURE_COOKIE if request.is_secure() else COOKIE
    response.set_signed_cookie(
        name,
        str(visitor),
        salt=name,
        max_age=max_age(),
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )
    if name != COOKIE and COOKIE in request.COOKIES:
        response.delete_cookie(COOKIE, samesite="Lax")


def max_age() -> int:
    """How many seconds a cookie is good for."""
    return settings.UPLOAD_TTL_MAX + int(SPARE.total_seconds())
