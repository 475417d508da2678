"""The translations, with polib instead of GNU gettext, which neither the image nor a laptop has.

`locale/<language>/LC_MESSAGES/django.po` is what translators write. Django reads the compiled
catalogues, which lie outside the code: its folder is mounted read-only.
"""

import ast
import io
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path

import polib
from django.conf import settings
from django.utils.translation.template import templatize

SOURCES = settings.BASE_DIR / "locale"
TESTS = settings.BASE_DIR / "tests"
# How many of a call's first arguments are messages: one, or the singular and the plural.
CALLS = {
    "_": 1,
    "gettext": 1,
    "gettext_lazy": 1,
    "gettext_noop": 1,
    "ngettext": 2,
    "ngettext_lazy": 2,
}
WIDTH = 100


def catalogues() -> list[Path]:
    """The .po files, one a language."""
    return sorted(SOURCES.glob("*/LC_MESSAGES/django.po"))


def compile_all() -> list[Path]:
    """Write what Django reads, and return where; each file whole or not at all."""
    written = []
    for source in catalogues():
        target = Path(settings.LOCALE_PATHS[0]) / source.relative_to(SOURCES).with_suffix(".mo")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as part:
            part.write(polib.pofile(str(source)).to_binary())
        Path(part.name).chmod(0o644)  # for whichever user the processes run as
        written.append(Path(part.name).replace(target))
    return written


def updated(source: Path) -> polib.POFile:
    """The catalogue as the sources now ask for it: new messages are empty, old ones are gone."""
    old = polib.pofile(str(source), wrapwidth=WIDTH)
    translated = {(entry.msgid, entry.msgid_plural): entry for entry in old}
    new = polib.POFile(wrapwidth=WIDTH)
    new.header, new.metadata = old.header, old.metadata
    for (text, plural), places in messages().items():
        entry = translated.get((text, plural)) or polib.POEntry(
            msgid=text,
            msgid_plural=plural,
            msgstr_plural=dict.fromkeys(range(2), "") if plural else {},
        )
        entry.occurrences = [(place, "") for place in places]
        new.append(entry)
    return new


def messages() -> dict[tuple[str, str], list[str]]:
    """Every message in the code and the templates, with its plural or "": the files it is in."""
    found: dict[tuple[str, str], list[str]] = {}
    code = [p for p in settings.BASE_DIR.rglob("*.py") if not p.is_relative_to(TESTS)]
    for path in sorted([*code, *settings.BASE_DIR.rglob("templates/**/*.html")]):
        place = path.relative_to(settings.BASE_DIR).as_posix()
        text = path.read_text()
        for message in calls(templatize(text) if path.suffix == ".html" else text):
            places = found.setdefault(message, [])
            if place not in places:
                places.append(place)
    return found


def calls(source: str) -> Iterator[tuple[str, str]]:
    """The messages in the calls of CALLS. It reads tokens, because `templatize` doesn't produce
    valid programs that could be parsed."""
    # The result of `templatize` isn't indented as Python requires.
    lines = io.StringIO("\n".join(line.lstrip() for line in source.split("\n")))
    count, arguments, depth, previous = 0, [""], 0, ""
    for kind, text, *_ in tokenize.generate_tokens(lines.readline):
        if not depth:
            if text == "(" and previous in CALLS:
                count, arguments, depth = CALLS[previous], [""], 1
        elif text == "(":
            depth += 1
        elif text == ")":
            depth -= 1
            if not depth and arguments[0]:
                yield arguments[0], arguments[1] if count > 1 else ""
        elif depth == 1 and text == ",":
            arguments.append("")
        elif depth == 1 and kind == tokenize.STRING:
            arguments[-1] += ast.literal_eval(text)
        previous = text
