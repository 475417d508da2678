"""Whose uploads a request is about: the visitor's, by their cookie, or an owner's, by a token."""

import uuid

from django.core import signing
from django.http import HttpRequest
from ninja.errors import AuthenticationError, HttpError
from ninja.security import APIKeyCookie, HttpBearer
from ninja.utils import check_csrf

from api.problems import SENTENCES
from s3tasks.web import visitor_cookie

SALT = "api.owner_token"


def owner_token(who: uuid.UUID) -> str:
    """A token with which a program manages its uploads, valid for as long as they can live."""
    return signing.dumps(str(who), salt=SALT)


class OwnerToken(HttpBearer):
    """`Authorization: Bearer <owner_token>`. Nothing sends it by itself, so it needs no CSRF."""

    openapi_description = "The `owner_token` of an upload."

    def __call__(self, request: HttpRequest) -> uuid.UUID | None:
        if "Authorization" not in request.headers:
            return None
        who = super().__call__(request)
        if not isinstance(who, uuid.UUID):
            raise AuthenticationError
        return who

    def authenticate(self, request: HttpRequest, token: str) -> uuid.UUID | None:
        try:
            return uuid.UUID(signing.loads(token, salt=SALT, max_age=visitor_cookie.max_age()))
        except signing.BadSignature:
            return None


class VisitorCookie(APIKeyCookie):
    """The visitor's cookie. Browsers send it by themselves, so requests that change something need
    the CSRF token as well."""

    param_name = visitor_cookie.COOKIE
    openapi_description = (
        "The cookie that the pages set; over HTTPS its name is `__Host-visitor`. Every method but"
        " GET also needs `X-CSRFToken`."
    )

    def __call__(self, request: HttpRequest) -> uuid.UUID | None:
        who = visitor_cookie.known(request)
        if who and check_csrf(request):
            raise HttpError(403, str(SENTENCES[403]))
        return who

    def authenticate(self, request: HttpRequest, key: str | None) -> uuid.UUID | None:
        raise NotImplementedError  # the cookie is read above, as the pages read it


class Newcomer:
    """A caller without cookie and token is a new owner, who keeps the owner_token of the answer."""

    def __call__(self, request: HttpRequest) -> uuid.UUID:
        return uuid.uuid4()
