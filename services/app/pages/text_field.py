"""A text that is written into the form of My Files, and becomes a file."""

import io
from typing import Any

from django import forms

from pages.spool import ArrivedFile

FILENAME = "text.txt"  # as dropping.js calls what is pasted


class TextField(forms.CharField):
    """The file that the text is; None where there is none."""

    widget = forms.Textarea(attrs={"rows": 3, "autocomplete": "off"})

    def __init__(self, label: Any) -> None:
        super().__init__(label=label, required=False, strip=False)

    def clean(self, value: Any) -> ArrivedFile | None:
        text: str = super().clean(value)
        if not text.strip():
            return None
        # Forms end lines as letters on paper did: https://html.spec.whatwg.org/#newline-normalization
        content = text.replace("\r\n", "\n").encode()
        return ArrivedFile(FILENAME, len(content), io.BytesIO(content))
