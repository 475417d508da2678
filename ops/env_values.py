"""What the values of an `.env` must be, each by itself. Python 3.8 and its standard library."""

from __future__ import annotations

import re

from ops import envfile

# Part of DATABASE_URL or REDIS_URL, which Compose puts together.
IN_ADDRESSES = ("POSTGRES_PASSWORD", "REDIS_PASSWORD")

# As the app's settings read a switch.
TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def truth(value: str) -> bool | None:
    """True or False; None where it is neither."""
    return TRUTH.get(value.lower())


def is_port(value: str) -> bool:
    """Whether it is a number from 1 to 65535."""
    return bool(re.fullmatch(r"[1-9][0-9]{0,4}", value)) and int(value) <= 65535


def value_problems(env: dict[str, str], file: str = ".env") -> list[str]:
    """A sentence for each value that can't be what it must be; none shows a secret.

    What a number, a port or a switch is, the template's own value says.
    """
    found = []
    for name, value in envfile.entry_values():
        given = env.get(name) or value
        if name.endswith("_PORT"):
            if given and not is_port(given):
                found.append(f"{name}={given} in {file}: expected a port, 1 to 65535")
        elif value.isdigit() and not re.fullmatch(r"[0-9]{1,18}", given):
            found.append(f"{name}={given} in {file}: expected a number")
        elif name == "USE_S3" or value in ("True", "False"):
            if given and truth(given) is None:
                found.append(f"{name}={given} in {file}: expected True or False")
        elif name in IN_ADDRESSES and not re.fullmatch(r"[A-Za-z0-9._~-]*", given):
            found.append(f"{name} in {file} is part of an address: use letters and digits only")
    modules = ("s3tasks.settings.production", "s3tasks.settings.development")
    if env.get("SETTINGS_MODULE_PATH", modules[0]) not in modules:
        found.append(f"SETTINGS_MODULE_PATH in {file}: expected {' or '.join(modules)}")
    user, _, password = env.get("FLOWER_BASIC_AUTH", "user:password").partition(":")
    if not (user and password):
        found.append(f"FLOWER_BASIC_AUTH in {file} must be user:password")
    return found


def minio_problems(env: dict[str, str], file: str = ".env") -> list[str]:
    """A sentence for each value that MinIO would refuse, once all else is up."""
    found = []
    # https://min.io/docs/minio/linux/reference/minio-server/settings/root-credentials.html
    for name, least, most in (
        ("MINIO_ROOT_USER", 3, 128),
        ("MINIO_ROOT_PASSWORD", 8, 128),
        ("AWS_ACCESS_KEY_ID", 3, 20),
        ("AWS_SECRET_ACCESS_KEY", 8, 40),
    ):
        value = env.get(name, "")
        if value and not least <= len(value) <= most:
            found.append(f"{name} in {file}: MinIO accepts {least} to {most} characters")
        if name in ("MINIO_ROOT_USER", "AWS_ACCESS_KEY_ID") and re.search(r"[=,/\s]", value):
            found.append(f"{name} in {file}: MinIO accepts no =, comma, / or space in it")
    if env.get("AWS_ACCESS_KEY_ID", "") == env.get("MINIO_ROOT_USER"):
        found.append(
            f"AWS_ACCESS_KEY_ID in {file} is MINIO_ROOT_USER: the app needs a user of its own"
        )
    bucket = env.get("AWS_STORAGE_BUCKET_NAME", "")
    if bucket and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        found.append(f"AWS_STORAGE_BUCKET_NAME={bucket} in {file}: 3 to 63 of a-z, 0-9, . and -")
    return found


def ports(env: dict[str, str]) -> dict[str, int]:
    """The ports on this machine: `.env`'s, else the template's; raises Wrong where one is none."""
    defaults = envfile.read(envfile.TEMPLATE)
    found = {}
    for name in envfile.PORTS:
        value = env.get(name) or defaults[name]
        if not is_port(value):
            raise envfile.Wrong(f"{name}={value} in .env: expected a port, 1 to 65535")
        found[name] = int(value)
    return found
