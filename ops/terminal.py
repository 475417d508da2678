"""What a verb says to the person at the terminal: each sentence behind the verb's name.

Python 3.8 and its standard library.
"""

from __future__ import annotations

import sys
from typing import NoReturn

_verb = "make"


def speak_as(verb: str) -> None:
    """From here on the sentences are this verb's, also those of what it shares with others."""
    global _verb
    _verb = verb


def lines(sentences: tuple[str, ...]) -> str:
    """The sentences, one below the other."""
    return "\n".join(f"{_verb}: {sentence}" for sentence in sentences)


def say(*sentences: str) -> None:
    """Print the sentences, at once."""
    print(lines(sentences), flush=True)


def die(*sentences: str) -> NoReturn:
    """Print the sentences as errors, and end the program with 1."""
    sys.exit(lines(sentences))
