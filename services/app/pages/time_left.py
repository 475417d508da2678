"""The time that links have left, for open pages, which ask every few seconds."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from s3tasks.web import visitor_cookie
from uploads.links.time_left import time_left, time_left_of
from uploads.models import Kind
from uploads.quotas import owner_for


@method_decorator(never_cache, name="dispatch")
class Mine(View):
    """`/links/left/`: each of the visitor's links, by its id."""

    def get(self, request: HttpRequest) -> HttpResponse:
        who = visitor_cookie.known(request)
        return JsonResponse(time_left_of(owner_for(who)) if who else {})


@method_decorator(never_cache, name="dispatch")
class OfLink(View):
    """`/f/<token>.json`: that one, by its token; nothing once it is over."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return JsonResponse(time_left(token=token, kind=Kind.FILE))
