"""Which door leads where."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("api.urls")),
    path("", include("pages.urls")),
    # Behind the pages', of which one is its login.
    path("admin/", admin.site.urls),
]

handler400 = "pages.errors.bad_request"
handler403 = "pages.errors.permission_denied"
handler404 = "pages.errors.not_found"
handler500 = "pages.errors.server_error"
