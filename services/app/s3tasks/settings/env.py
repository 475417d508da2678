"""Typed readers of the environment; only settings use them.

python-decouple looks into the environment first and then into `.env`. A blank value means unset,
so a variable can stand in `.env` without deciding anything. A wrong value raises
ImproperlyConfigured with the variable, the value seen and the values allowed.
"""

from decouple import config
from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    """The variable's value, or `default` where it is unset or blank."""
    return config(name, default="").strip() or default


def required(name: str, why: str) -> str:
    """The variable's value; raises ImproperlyConfigured, naming it, where it is missing."""
    value = text(name)
    if not value:
        raise ImproperlyConfigured(f"{name} is missing: {why}")
    return value


def flag(name: str, default: bool) -> bool:
    """True or False."""
    value = text(name)
    if not value:
        return default
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if value.lower() not in words:
        raise ImproperlyConfigured(f"{name}={value}: expected True or False")
    return words[value.lower()]


def number(name: str, default: int, *, minimum: int = 0, maximum: int | None = None) -> int:
    """A whole number between `minimum` and `maximum`."""
    value = text(name)
    if not value:
        return default
    allowed = f"a whole number from {minimum}" + (f" to {maximum}" if maximum is not None else "")
    if not value.isascii() or not value.isdigit():
        raise ImproperlyConfigured(f"{name}={value}: expected {allowed}")
    if int(value) < minimum or (maximum is not None and int(value) > maximum):
        raise ImproperlyConfigured(f"{name}={value}: expected {allowed}")
    return int(value)


def words(name: str) -> list[str]:
    """What stands between the commas."""
    return [word.strip() for word in text(name).split(",") if word.strip()]
