"""What development and production share. Values come from the environment; see `.env.var`."""

from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from csp.constants import NONE, SELF

from s3tasks.settings import env

BASE_DIR = Path(__file__).resolve().parents[2]

# --- Django -------------------------------------------------------------------------------------

DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS")
HTTPS_PORT = env.number("HTTPS_PORT", 443, minimum=1)  # the port in the addresses that visitors see

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    # Before staticfiles, so that runserver leaves static files to WhiteNoise as well.
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "s3tasks",
    "uploads",
    "pages",
    "api",
    "localstorage",
]

MIDDLEWARE = [
    # First, so that the log lines of all others carry the request's id.
    "s3tasks.request_id.RequestIdMiddleware",
    "s3tasks.logs.AccessLogMiddleware",
    # Before hosts and HTTPS are checked: probes call by address and without TLS.
    "s3tasks.web.health.HealthMiddleware",
    "s3tasks.web.request_time.RequestTimeMiddleware",
    # Before any middleware that asks for the visitor's address or scheme.
    "s3tasks.web.proxies.TrustedProxiesMiddleware",
    # Outside all of the following: whichever of them refuses a program's request, the answer has
    # the form that programs read.
    "api.problems.ApiErrorsMiddleware",
    "s3tasks.web.headers.HeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "pages.ended_connections.EndedConnectionMiddleware",
    "s3tasks.web.slash.SlashMiddleware",
    # Before CSRF, whose check reads the whole body.
    "pages.form_reader.FormReaderMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "pages.operator.OperatorMiddleware",
    "pages.database_outage.OutageMiddleware",
]

ROOT_URLCONF = "s3tasks.urls"
WSGI_APPLICATION = "s3tasks.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
CSRF_FAILURE_VIEW = "pages.errors.csrf_failure"
SESSION_ENGINE = "s3tasks.web.sessions"
DEFAULT_EXCEPTION_REPORTER = "s3tasks.web.debug_pages.Reporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "s3tasks.web.debug_pages.Filter"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("pt-br", "Português do Brasil")]
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Database: Postgres only ---------------------------------------------------------------------

DATABASE_URL = env.address(
    "DATABASE_URL",
    "postgres",
    "postgresql",
    value=env.required("DATABASE_URL", "Postgres is the only database, e.g. postgres://…"),
)
# For web only, whose threads share these connections. Half of the threads may be waiting for a
# body; they hold none.
WEB_DATABASE_CONNECTIONS = env.number("WEB_DATABASE_CONNECTIONS", 10, minimum=1)
DATABASES = {
    "default": {
        **dj_database_url.parse(DATABASE_URL, conn_max_age=60, conn_health_checks=True),
        "ENGINE": "s3tasks.web.database",
        "OPTIONS": {
            **dj_database_url.parse(DATABASE_URL).get("OPTIONS", {}),
            "connect_timeout": 3,
            # A server that vanished silently, with its machine or its network, is given up after 25
            # s. Linux's own defaults are two hours for an idle connection, and 15 minutes for one
            # with unanswered data.
            "keepalives": 1,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 25_000,  # milliseconds
            # None of our statements takes long; one that does is waiting for something that hangs.
            "options": "-c statement_timeout=15s -c lock_timeout=5s"
            " -c idle_in_transaction_session_timeout=30s",
        },
    }
}

# --- Redis and Celery ----------------------------------------------------------------------------

REDIS_URL = env.address(
    "REDIS_URL",
    "redis",
    "rediss",
    value=env.required("REDIS_URL", "it carries the tasks, e.g. redis://localhost:6379/0"),
)
REDIS_POOL_SIZE = env.number("REDIS_POOL_SIZE", 2, minimum=1)

EXPIRE_EVERY = env.number("EXPIRE_EVERY", 5, minimum=1)  # seconds
RECONCILE_EVERY = env.number("RECONCILE_EVERY", 300, minimum=1)  # seconds

# --- Storage -------------------------------------------------------------------------------------

USE_S3 = env.flag("USE_S3", True)
ON_DYNO = bool(env.text("DYNO"))  # Heroku sets it: the disk is gone at each restart
AWS_ACCESS_KEY_ID = env.text("AWS_ACCESS_KEY_ID")
AWS_SECRET_ACCESS_KEY = env.text("AWS_SECRET_ACCESS_KEY")
AWS_SESSION_TOKEN = env.text("AWS_SESSION_TOKEN")  # only temporary keys have one
AWS_STORAGE_BUCKET_NAME = env.text("AWS_STORAGE_BUCKET_NAME")
AWS_S3_REGION_NAME = env.text("AWS_S3_REGION_NAME", "us-east-1")
AWS_S3_ENDPOINT_URL = env.text("AWS_S3_ENDPOINT_URL")
AWS_S3_PUBLIC_ENDPOINT_URL = env.text("AWS_S3_PUBLIC_ENDPOINT_URL", AWS_S3_ENDPOINT_URL)
env.address("AWS_S3_ENDPOINT_URL", "http", "https", value=AWS_S3_ENDPOINT_URL)
env.address("AWS_S3_PUBLIC_ENDPOINT_URL", "http", "https", value=AWS_S3_PUBLIC_ENDPOINT_URL)
# The local disk, if USE_S3=False: beside the other data of a local run, or in the image beside the
# code, where a volume is mounted.
CHECKOUT = BASE_DIR.parents[1]
IN_CHECKOUT = (CHECKOUT / ".env.var").is_file()
MEDIA_ROOT = CHECKOUT / ".local" / "media" if IN_CHECKOUT else BASE_DIR.parent / "media"

STATIC_URL = "static/"
# Both lie outside the folder that `make up` mounts read-only.
STATIC_ROOT = BASE_DIR.parent / "collected"
LOCALE_PATHS = [CHECKOUT / ".local" / "locale" if IN_CHECKOUT else BASE_DIR.parent / "locale"]

# --- Uploads: what is kept, and for how long ------------------------------------------------------

UPLOAD_TTL_MAX = env.number("UPLOAD_TTL_MAX", 24 * 60 * 60, minimum=1)  # seconds
UPLOAD_TTL = env.number("UPLOAD_TTL", 15 * 60, minimum=1, maximum=UPLOAD_TTL_MAX)  # seconds
SHARED_BOARD = env.flag("SHARED_BOARD", False)
IMAGES_KEPT = env.number("IMAGES_KEPT", 3, minimum=1)
MAX_IMAGE_BYTES = env.number("MAX_IMAGE_BYTES", 20 * 1024 * 1024, minimum=1)
MAX_IMAGE_PIXELS = env.number("MAX_IMAGE_PIXELS", 100_000_000, minimum=1)
# One PUT takes 5 GiB: https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html
MAX_FILE_BYTES = env.number(
    "MAX_FILE_BYTES", 100 * 1024 * 1024, minimum=1, maximum=5 * 1024 * 1024 * 1024
)
MAX_VISITOR_UPLOADS = env.number("MAX_VISITOR_UPLOADS", 100, minimum=1)
MAX_TOTAL_BYTES = env.number("MAX_TOTAL_BYTES", 10 * 1024 * 1024 * 1024, minimum=1)
UPLOAD_RATE = env.number("UPLOAD_RATE", 60)  # uploads a minute and address; 0: no limit

# How many proxies in front are ours; their X-Forwarded-For and X-Forwarded-Proto are believed.
TRUSTED_PROXIES = env.number("TRUSTED_PROXIES", 0)
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Celery --------------------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # no limit: a worker without Redis waits for it
CELERY_BROKER_POOL_LIMIT = REDIS_POOL_SIZE
if REDIS_URL.startswith("rediss://"):
    # Heroku's certificate is self-signed: https://devcenter.heroku.com/articles/connecting-heroku-redis
    CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": "none"}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # A Redis that accepts connections and stays silent must not hold up a page for longer than
    # this, in seconds.
    "socket_timeout": 1,
    "socket_connect_timeout": 1,
    "max_retries": 0,
    # Sweeps come before images: they are short, and expired uploads must go on time.
    "queue_order_strategy": "priority",
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True  # Flower reads what a task did from its events
CELERY_TASK_DEFAULT_QUEUE = "sweeps"
CELERY_TASK_ROUTES = {"make image safe": {"queue": "images"}, "pack": {"queue": "packs"}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SEND_TASK_EVENTS = True
# Seconds in which tasks that have begun may finish; after that they are handed back. The platform
# sends SIGKILL after 30 s.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 20
# One message asks for everything that is due. It doesn't expire, since the expiry would compare the
# clocks of two hosts.
CELERY_BEAT_SCHEDULE = {"tick": {"task": "tick", "schedule": EXPIRE_EVERY}}

# --- What a page may load, and where from ---------------------------------------------------------


def storage_origins() -> list[str]:
    """The origins that signed addresses lead to: AWS's own host names if no endpoint is set."""
    if not USE_S3:
        return []
    if AWS_S3_PUBLIC_ENDPOINT_URL:
        endpoint = urlsplit(AWS_S3_PUBLIC_ENDPOINT_URL)
        return [f"{endpoint.scheme}://{endpoint.netloc}"]
    # For us-east-1, boto3 signs the host name without the region.
    hosts = ["s3.amazonaws.com", f"s3.{AWS_S3_REGION_NAME}.amazonaws.com"]
    return [f"https://{AWS_STORAGE_BUCKET_NAME}.{host}" for host in hosts]


CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "style-src": [SELF],
        "script-src": [SELF],
        "img-src": [SELF, *storage_origins()],
        "connect-src": [SELF, *storage_origins()],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
# Messages never go into the session, because a visitor has none.
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
