"""The API itself: its operations, its errors, its OpenAPI document, and the page that shows it."""

from typing import Any

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.shortcuts import render
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.docs import DocsBase
from ninja.openapi.schema import OpenAPISchema

from api import links, uploads
from api.problems import PROBLEM, problem, problem_of
from uploads.database_outage import database_answering
from uploads.errors import UploadError

DESCRIPTION = """
Announce an upload, send its bytes to storage with the ticket of the answer, then call `complete`.
Each upload deletes itself. Errors are problem details (RFC 9457).

A page in a browser is identified by the visitor's cookie; requests that change something also need
the CSRF token, as `X-CSRFToken`. A program sends no cookie. It keeps the `owner_token` of its first
upload or link, and sends it as `Authorization: Bearer …` from then on.

Files share a link where their `link_id` says so: make it with `POST /api/links`, or take the one of
an upload. At most 100 may.
"""


class DocsPage(DocsBase):
    """The document as a page of our own, without scripts and without anything from other hosts."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        document = api.get_openapi_schema()
        operations = [
            {"method": method.upper(), "path": path, **operation}
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        context = {
            "title": "API",
            "document": document,
            "operations": operations,
            "host": request.build_absolute_uri("/"),
        }
        return render(request, "api/docs.html", context)


class API(NinjaAPI):
    """django-ninja, with the true errors and authorisation in its document."""

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        document = super().get_openapi_schema(**kwargs)
        for methods in document["paths"].values():
            for operation in methods.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        (content,) = response["content"].values()
                        response["content"] = {PROBLEM: content}
        for collection, parameter in (("uploads", "upload_id"), ("links", "link_id")):
            begin = document["paths"][f"/api/{collection}"]["post"]
            begin["security"].append({})  # this operation needs no authorisation
            begin["responses"][201]["links"] = {
                operation["operationId"]: {
                    "operationId": operation["operationId"],
                    "parameters": {parameter: "$response.body#/id"},
                }
                for path, methods in document["paths"].items()
                if f"{{{parameter}}}" in path
                for operation in methods.values()
            }
        return document


api = API(title="S3Tasks", version="1", description=DESCRIPTION, docs=DocsPage())
api.add_router("", uploads.router)
api.add_router("", links.router)


@api.exception_handler(UploadError)
def answer_upload_error(request: HttpRequest, error: UploadError) -> HttpResponse:
    """Errors of the domain."""
    return problem_of(error)


@api.exception_handler(DatabaseError)
@api.exception_handler(InterfaceError)
def answer_database_error(request: HttpRequest, error: Exception) -> HttpResponse:
    """Outages of Postgres."""
    try:
        with database_answering():
            raise error
    except UploadError as outage:
        return problem_of(outage)


@api.exception_handler(HttpError)
def answer_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Errors of django-ninja."""
    return problem(error.status_code, str(error))


@api.exception_handler(UnreadablePostError)
def answer_unreadable(request: HttpRequest, error: UnreadablePostError) -> HttpResponse:
    """A body that was interrupted."""
    return problem(400, _("The connection was lost. Nothing was stored."))


@api.exception_handler(ValidationError)
def answer_validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """A body that does not match the document: each fault, with its place."""
    faults = [f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors]
    return problem(422, "; ".join(faults))
