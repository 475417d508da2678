"""A developer's machine: debug pages, static files straight from the source, plain HTTP."""

from s3tasks import logs
from s3tasks.settings import env
from s3tasks.settings.base import *  # noqa: F403

DEBUG = env.flag("DEBUG", True)
SECRET_KEY = env.required("SECRET_KEY", "`make .env` writes one")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS") or ["localhost", "127.0.0.1", "[::1]"]

LOGGING = logs.configuration(json=False)
WHITENOISE_USE_FINDERS = True
