"""Every address, by who may use it. Beside these, `s3tasks.web.health` answers `/healthz` and
WhiteNoise the static files, both to anyone; a PUT outside `/api/` has `s3tasks.put_urls`."""

from django.contrib import admin
from django.urls import path, register_converter
from django.urls.converters import StringConverter

from api.document import api
from api.put import Deletion
from api.ready import ready
from api.sharex import sharex
from localstorage.views import LocalStorage
from pages import change, link, operator, time_left, views, zips
from uploads.models import Kind


class TokenConverter(StringConverter):
    """A link's token: 22 of these characters, or fewer if the link was cut short when it was
    copied."""

    regex = "[A-Za-z0-9_-]+"


class PathConverter(StringConverter):
    """Any file name, and the folder before it."""

    regex = r"[\s\S]+"


register_converter(TokenConverter, "token")
register_converter(PathConverter, "anything")

urlpatterns = [
    # --- Anyone; a link opens for whoever was given its token of 128 random bits -----------------
    path("readyz", ready),
    path("sharex.sxcu", sharex, name="sharex"),
    path("i/<token:token>", link.Image.as_view(), name="image-link"),
    path("i/<token:token>.svg", link.QrCode.as_view(kind=Kind.IMAGE), name="image-qr"),
    path("f/<token:token>", link.Page.as_view(), name="file-link"),
    path("f/<token:token>.json", time_left.OfLink.as_view(), name="time-left"),
    path("f/<token:token>.svg", link.QrCode.as_view(kind=Kind.FILE), name="file-qr"),
    path("f/<token:token>.zip", zips.Zip.as_view(), name="zip"),
    path("f/<token:token>/<anything:path>", link.File.as_view(), name="file"),
    # --- The owner, by the visitor's cookie; a visitor without one gets a new one ----------------
    path("", views.Images.as_view(), name="images"),
    path("images/clear/", views.Clear.as_view(kind=Kind.IMAGE), name="clear-images"),
    path("files/", views.Files.as_view(), name="files"),
    path("files/clear/", views.Clear.as_view(kind=Kind.FILE), name="clear-files"),
    path("links/<uuid:link_id>/", change.Change.as_view(), name="change"),
    path("links/left/", time_left.Mine.as_view(), name="my-time-left"),
    path("uploads/<uuid:upload_id>/delete/", views.Delete.as_view(), name="delete"),
    path("links/<uuid:link_id>/delete/", views.DeleteLink.as_view(), name="delete-link"),
    # … or by the `owner_token` of an upload. Its document and its page are anyone's.
    path("api/", api.urls),
    # --- The bearer of what we signed ------------------------------------------------------------
    path("d/<str:secret>", Deletion.as_view(), name="deletion"),
    path("storage/<str:signed>", LocalStorage.as_view(), name="local-storage"),
    # --- The operator, once logged in ------------------------------------------------------------
    path("admin/login/", operator.login),  # before Django's own
    path("admin/", admin.site.urls),
]

handler400 = "pages.errors.bad_request"
handler403 = "pages.errors.permission_denied"
handler404 = "pages.errors.not_found"
handler500 = "pages.errors.server_error"
