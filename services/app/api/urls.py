"""The doors for programs."""

from django.urls import path

from api.document import api
from api.local_storage import LocalStorage
from api.put import Deletion

urlpatterns = [
    path("api/", api.urls),
    path("d/<str:secret>", Deletion.as_view(), name="deletion"),
    path("storage/<str:signed>", LocalStorage.as_view(), name="local-storage"),
]
