"""The doors for programs."""

from django.urls import path

from api.local_storage import local_storage

urlpatterns = [
    path("storage/<str:signed>", local_storage, name="local-storage"),
]
