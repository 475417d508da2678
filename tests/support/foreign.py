"""What a shell exports for other projects."""

from ops import envfile

FOREIGN = {
    # What `.env` decides,
    **{name: f"foreign-{name.lower()}" for name in envfile.names()},
    # what Compose and the engine's client read besides,
    "COMPOSE_FILE": "/foreign/compose.yml",
    "COMPOSE_ENV_FILES": "/foreign/.env",
    "COMPOSE_PROFILES": "foreign",
    "COMPOSE_PATH_SEPARATOR": "foreign",
    "COMPOSE_REMOVE_ORPHANS": "foreign",
    "COMPOSE_PARALLEL_LIMIT": "foreign",
    "DOCKER_DEFAULT_PLATFORM": "foreign/s390x",
    "DOCKER_BUILDKIT": "foreign",
    "DOCKER_NO_PROXY": "foreign",
    "BUILDX_BUILDER": "foreign",
    "BUILDKIT_PROGRESS": "foreign",
}
# and what our processes' libraries would: Django, Celery, Flower, gunicorn, boto3, libpq, Python.
LIBRARIES = {
    "DJANGO_SETTINGS_MODULE": "foreign.settings",
    "BROKER_URL": "redis://foreign",
    "CELERY_BROKER_URL": "redis://foreign",
    "CELERY_CONFIG_MODULE": "foreign",
    "CELERY_LOG_LEVEL": "foreign",
    "CONFIG_MODULE": "foreign",
    "RESULT_BACKEND": "redis://foreign",
    "FLOWER_UNAUTHENTICATED_API": "foreign",
    "FLOWER_BROKER_API": "http://foreign",
    "FLOWER_CONF": "foreign",
    "FLOWER_URL_PREFIX": "foreign",
    "GUNICORN_CMD_ARGS": "--config=foreign",
    "FORWARDED_ALLOW_IPS": "foreign",
    "AWS_PROFILE": "foreign",
    "AWS_ENDPOINT_URL": "http://foreign",
    "AWS_SESSION_TOKEN": "foreign",
    "PGSERVICE": "foreign",
    "PGOPTIONS": "--foreign",
    "PYTHONPATH": "/foreign",
    "PYTHONSAFEPATH": "1",
    "PYTHONSTARTUP": "/foreign.py",
    "DYNO": "foreign",
}
