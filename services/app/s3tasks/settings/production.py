"""Production: HTTPS, hashed static files, and no start without every secret."""

import logging
import os

from django.core.exceptions import ImproperlyConfigured

from s3tasks import logs
from s3tasks.settings import env
from s3tasks.settings.base import *  # noqa: F403
from s3tasks.settings.base import USE_S3

SECRET_KEY = env.required("SECRET_KEY", "50 random letters and digits")
env.required("ALLOWED_HOSTS", "the host names, between commas")
if USE_S3:
    AWS_STORAGE_BUCKET_NAME = env.required("AWS_STORAGE_BUCKET_NAME", "or set USE_S3=False")
    AWS_ACCESS_KEY_ID = env.required("AWS_ACCESS_KEY_ID", "see compose/s3-policy.json")
    AWS_SECRET_ACCESS_KEY = env.required("AWS_SECRET_ACCESS_KEY", "it belongs to the access key")
elif "DYNO" in os.environ:
    raise ImproperlyConfigured("USE_S3=False on Heroku: a dyno's disk forgets what is uploaded")

# A year, as Mozilla's Observatory asks for; only HTTPS ever answers (the proxy redirects nothing).
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SECURE_SSL_REDIRECT = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

LOGGING = logs.configuration(json=True)
logging.captureWarnings(True)  # a warning is a line, too

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "s3tasks.static.StaticStorage"},
}
