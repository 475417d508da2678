"""Typed readers of the environment; only settings use them.

python-decouple looks into the environment first and then into `.env`. A blank value means unset,
so a variable can stand in `.env` without deciding anything. A wrong value raises
ImproperlyConfigured with the variable, the value seen and the values allowed.
"""

from urllib.parse import urlsplit

from decouple import config
from django.core.exceptions import ImproperlyConfigured

# How a switch may be written; `ops.envfile` has the same.
TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def text(name: str, default: str = "") -> str:
    """The variable's value, or `default` where it is unset or blank."""
    try:
        return config(name, default="").strip() or default
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}: .env can't be read: {error}") from error


def required(name: str, why: str) -> str:
    """The variable's value; raises ImproperlyConfigured, naming it, where it is missing."""
    value = text(name)
    if not value:
        raise ImproperlyConfigured(f"{name} is missing: {why}")
    return value


def secret(name: str, why: str, length: int) -> str:
    """The variable's value; raises ImproperlyConfigured where it is missing or could be guessed."""
    value = required(name, why)
    # The rules of Django's own check, security.W009, and no word that only repeats itself.
    guessable = len(set(value)) < 5 or value in (value * 2)[1:-1]
    if len(value) < length or guessable or value.startswith("django-insecure-"):
        raise ImproperlyConfigured(f"{name} is too short or could be guessed: {why}")
    return value


def address(name: str, *schemes: str, value: str) -> str:
    """The value if it is an address with one of these schemes, or blank.

    Raises ImproperlyConfigured with the schemes allowed, but not the value, which may hold a
    password.
    """
    try:
        parts = urlsplit(value)
        fits = parts.scheme in schemes and parts.port != 0 and " " not in value
    except ValueError:
        fits = False
    if value and not (fits and "//" in value):
        raise ImproperlyConfigured(f"{name} is not an address: expected {' or '.join(schemes)}://…")
    return value


def flag(name: str, default: bool) -> bool:
    """True or False."""
    value = text(name)
    if not value:
        return default
    if value.lower() not in TRUTH:
        raise ImproperlyConfigured(f"{name}={value}: expected True or False")
    return TRUTH[value.lower()]


def number(name: str, default: int, *, minimum: int = 0, maximum: int | None = None) -> int:
    """A whole number between `minimum` and `maximum`."""
    value = text(name)
    if not value:
        return default
    allowed = f"a whole number from {minimum}" + (f" to {maximum}" if maximum is not None else "")
    # int() refuses more than 4,300 digits; a size in bytes has 13.
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise ImproperlyConfigured(f"{name}={value}: expected {allowed}")
    if int(value) < minimum or (maximum is not None and int(value) > maximum):
        raise ImproperlyConfigured(f"{name}={value}: expected {allowed}")
    return int(value)


def words(name: str) -> list[str]:
    """The words between the commas."""
    return [word.strip() for word in text(name).split(",") if word.strip()]
