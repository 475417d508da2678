"""The base of all views: errors are pages, answers are not cached, and visitors are recognised."""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import add_never_cache_headers
from django.views import View

from pages import errors
from s3tasks.web import visitor_cookie
from uploads import quotas
from uploads.errors import UploadError


class PageView(View):
    """Answers every error with a page, and is never cached."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = super().dispatch(request, *args, **kwargs)
        except UploadError as error:
            response = self.answer(error)
        add_never_cache_headers(response)
        return response

    def answer(self, error: UploadError) -> HttpResponse:
        """What is shown of an error."""
        return errors.answer(self.request, error)

    def http_method_not_allowed(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        response = errors.method_not_allowed(request)
        plain = super().http_method_not_allowed(request, *args, **kwargs)
        response["Allow"] = plain["Allow"]
        return response


class VisitorView(PageView):
    """A view about one owner's uploads."""

    owner: uuid.UUID

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        who = visitor_cookie.recognise(request)
        self.owner = quotas.owner_for(who)
        response = super().dispatch(request, *args, **kwargs)
        visitor_cookie.remember(request, response, who)
        return response
