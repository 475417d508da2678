"""The doors for people."""

from django.urls import path, register_converter

from pages import operator, views
from uploads.models import Kind


class TokenConverter:
    """A share link's token: 22 such characters, or fewer where a link was cut in two."""

    regex = "[A-Za-z0-9_-]+"

    def to_python(self, value: str) -> str:
        """As it is."""
        return value

    def to_url(self, value: str) -> str:
        """As it is."""
        return value


register_converter(TokenConverter, "token")

urlpatterns = [
    path("", views.Images.as_view(), name="images"),
    path("files/", views.Files.as_view(), name="files"),
    path("images/clear/", views.Clear.as_view(kind=Kind.IMAGE), name="clear-images"),
    path("files/clear/", views.Clear.as_view(kind=Kind.FILE), name="clear-files"),
    path("uploads/<uuid:upload_id>/delete/", views.Delete.as_view(), name="delete"),
    path("i/<token:token>", views.Link.as_view(kind=Kind.IMAGE), name="image-link"),
    path("f/<token:token>", views.Link.as_view(kind=Kind.FILE), name="file-link"),
    path("i/<token:token>/qr.svg", views.QrCode.as_view(kind=Kind.IMAGE), name="image-qr"),
    path("f/<token:token>/qr.svg", views.QrCode.as_view(kind=Kind.FILE), name="file-qr"),
    path("admin/login/", operator.login),
]
