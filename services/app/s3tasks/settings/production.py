"""Production: HTTPS, hashed static files, and no start without every secret."""

import logging

from django.core.exceptions import ImproperlyConfigured

from s3tasks import logs
from s3tasks.settings import env
from s3tasks.settings.base import *  # noqa: F403
from s3tasks.settings.base import ALLOWED_HOSTS, DEBUG, USE_S3

SECRET_KEY = env.secret("SECRET_KEY", "50 random letters and digits", 50)
if DEBUG:
    raise ImproperlyConfigured("DEBUG=True shows code and settings to everybody: leave it blank")
env.required("ALLOWED_HOSTS", "the host names, between commas")
if any(not host.strip(".*") for host in ALLOWED_HOSTS):
    raise ImproperlyConfigured("ALLOWED_HOSTS admits every name: expected this site's")
if USE_S3:
    AWS_STORAGE_BUCKET_NAME = env.required("AWS_STORAGE_BUCKET_NAME", "or set USE_S3=False")
    AWS_ACCESS_KEY_ID = env.required("AWS_ACCESS_KEY_ID", "see compose/s3-policy.json")
    AWS_SECRET_ACCESS_KEY = env.required("AWS_SECRET_ACCESS_KEY", "it belongs to the access key")

# A year, as Mozilla's Observatory recommends. Browsers then use HTTPS for this site without asking.
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60
# HSTS covers this host only. These two checks ask for its subdomains and for the preload list of
# browsers, but other hosts of the domain may not be ours or not have HTTPS, and a name takes a year
# to leave that list.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_SSL_REDIRECT = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

LOGGING = logs.configuration(json=True)
logging.captureWarnings(True)  # Python's warnings go to the log as well

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "s3tasks.web.static.StaticStorage"},
}
