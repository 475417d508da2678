"""The doors for programs."""

from django.urls import path

from api.document import api
from api.local_storage import LocalStorage
from api.put import Deletion
from api.ready import ready
from api.sharex import sharex

urlpatterns = [
    path("api/", api.urls),
    path("readyz", ready),
    path("sharex.sxcu", sharex, name="sharex"),
    path("d/<str:secret>", Deletion.as_view(), name="deletion"),
    path("storage/<str:signed>", LocalStorage.as_view(), name="local-storage"),
]
