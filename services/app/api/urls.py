"""The doors for programs."""

from django.urls import path

from api.document import api
from api.local_storage import LocalStorage

urlpatterns = [
    path("api/", api.urls),
    path("storage/<str:signed>", LocalStorage.as_view(), name="local-storage"),
]
