"""The two forms. The rules are the domain's (uploads.limits); here their sentences get a place."""

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.template.defaultfilters import floatformat
from django.utils.datastructures import MultiValueDict
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from pages.spool import FILES_AT_ONCE, FORM_BYTES, ArrivedFile
from pages.text_field import TextField
from pages.wording import DAY, HOUR, MINUTE, duration, shown_name
from uploads import images, limits
from uploads.errors import InvalidUpload
from uploads.models import Kind, Link

T = TypeVar("T")
R = TypeVar("R")

USUAL_DOWNLOADS = [1, 2, 5, 10]
USUAL_TTLS = [5 * MINUTE, 15 * MINUTE, HOUR, DAY]
# Not every system knows the content type of these two.
ACCEPTED = [*images.IMAGE_TYPES, ".heic", ".heif"]


def checked(check: Callable[[T], R], value: T) -> R:
    """The domain's result for the value; its refusal becomes the form's error."""
    try:
        return check(value)
    except InvalidUpload as error:
        raise ValidationError(error.sentence) from error


class NameField(forms.CharField):
    """The visitor's own name for an upload; may be empty."""

    def __init__(self, label: Any) -> None:
        super().__init__(label=label, required=False)
        self.widget.attrs.update(maxlength=limits.NAME_MAX, autocomplete="off")

    def clean(self, value: Any) -> str:
        return checked(limits.check_name, super().clean(value))


class TtlField(forms.IntegerField):
    """Seconds to live: any number within the limits, although the form offers only a few."""

    def clean(self, value: Any) -> int | None:
        seconds: int | None = super().clean(value)
        checked(limits.check_ttl, seconds)
        return seconds


class PasswordField(forms.CharField):
    """The password of a link; may be empty."""

    def clean(self, value: Any) -> str:
        return checked(limits.check_password, super().clean(value))


class DownloadsField(forms.IntegerField):
    """How often a link opens; any number that the limits allow, of which the form offers a few."""

    def clean(self, value: Any) -> int | None:
        return checked(limits.check_max_downloads, super().clean(value))


class FilesInput(forms.FileInput):
    """An input for one file or several."""

    allow_multiple_selected = True

    def value_from_datadict(  # type: ignore[override]  # ours are no UploadedFile
        self, data: Any, files: MultiValueDict[str, ArrivedFile], name: str
    ) -> list[ArrivedFile]:
        return files.getlist(name)


class FilesField(forms.Field):
    """Files of one kind. All of them are checked before the first is stored."""

    def __init__(self, kind: Kind, *, label: Any, missing: Any, at_once: int) -> None:
        accept = {"accept": ",".join(ACCEPTED)} if kind == Kind.IMAGE else {}
        super().__init__(
            label=label,
            widget=FilesInput(attrs={**accept, "multiple": at_once > 1}),
            error_messages={"required": missing},
        )
        self.kind = kind
        self.at_once = at_once

    def clean(self, value: list[ArrivedFile]) -> list[ArrivedFile]:
        super().clean(value)
        if len(value) > self.at_once:
            sentence = ngettext(
                "You can upload at most %d file at a time.",
                "You can upload at most %d files at a time.",
                self.at_once,
            )
            raise ValidationError(sentence % self.at_once)
        problems = []
        for file in value:
            try:
                check_file(self.kind, file)
            except InvalidUpload as error:
                problems.append(format_html("{}: {}", shown_name(file.name), error.sentence))
        if problems:
            raise ValidationError(problems)
        if sum(file.size_bytes for file in value) > FORM_BYTES:
            raise ValidationError(
                _("Together, these files are too large. This form accepts at most %s at a time.")
                % limits.size(FORM_BYTES)
            )
        return value


def check_file(kind: Kind, file: ArrivedFile) -> None:
    """Raise InvalidUpload if the size, the name or the first bytes are wrong."""
    limits.check_filename(file.name)
    limits.check_size(kind, file.size_bytes)
    if kind == Kind.IMAGE:
        limits.check_image_head(file.content.read(images.HEAD_BYTES))
        file.content.seek(0)


class UploadForm(forms.Form):
    """The base of both forms."""

    folded: tuple[str, ...] = ()  # the fields that are seldom wanted
    called: str  # the field in which the visitor names the upload
    chosen: str  # the field of the files
    ttl = TtlField(label=gettext_lazy("Delete after"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        offered = {s for s in USUAL_TTLS if s <= settings.UPLOAD_TTL_MAX} | {settings.UPLOAD_TTL}
        choices = [(seconds, duration(seconds)) for seconds in sorted(offered)]
        self.fields["ttl"].widget = forms.Select(choices=choices)
        self.fields["ttl"].initial = settings.UPLOAD_TTL
        self.fields[self.chosen].help_text = self.limits_sentence()

    def limits_sentence(self) -> str:
        """The form's limits, in words."""
        raise NotImplementedError

    @property
    def folded_fields(self) -> list[forms.BoundField]:
        """The fields that stand folded before the files."""
        return [self[name] for name in self.folded if name in self.fields]

    @property
    def is_unfolded(self) -> bool:
        """Whether something was said in a folded field."""
        return any(field.data or field.errors for field in self.folded_fields)

    @property
    def arrived(self) -> list[ArrivedFile]:
        """The files of a valid form."""
        files: list[ArrivedFile] = self.cleaned_data[self.chosen]
        return files

    def report(self, sentence: str, received: int) -> None:
        """Add the error for which storing stopped and, of several files, name those already
        stored."""
        names = [shown_name(file.name) for file in self.arrived]
        if len(names) > 1 and received < len(names):
            sentence = format_html("{}: {}", names[received], sentence)
        self.add_error(None, ValidationError(sentence))
        if received:
            before = format_html_join(", ", "{}", ((name,) for name in names[:received]))
            self.add_error(None, format_html(_("Already uploaded: {}."), before))


class ImagesForm(UploadForm):
    """Add images."""

    called, chosen = "name", "image"
    image = FilesField(
        Kind.IMAGE,
        label=gettext_lazy("Choose images, or drop them here"),
        missing=gettext_lazy("Choose at least one image."),
        at_once=FILES_AT_ONCE[Kind.IMAGE],
    )
    name = NameField(gettext_lazy("Name (optional)"))
    field_order = ["name", "ttl", "image"]

    def clean(self) -> None:
        if self.data.get("password") or self.data.get("max_downloads"):  # no field of this form
            checked(limits.check_may_protect, Kind.IMAGE.value)

    def limits_sentence(self) -> str:
        sentence = _(
            "%(types)s. Up to %(size)s and %(megapixels)s megapixels each,"
            " at most %(count)d at a time."
        )
        return sentence % {
            "types": ", ".join(images.IMAGE_TYPES.values()),
            "size": limits.size(settings.MAX_IMAGE_BYTES),
            "megapixels": floatformat(settings.MAX_IMAGE_PIXELS / 1_000_000, -1),
            "count": FILES_AT_ONCE[Kind.IMAGE],
        }


class FileForm(UploadForm):
    """Add files: as one link, or to one that is there."""

    called, chosen = "description", "file"
    use_required_attribute = False  # a text is enough, which no browser knows
    link = forms.UUIDField(required=False, widget=forms.HiddenInput)
    file = FilesField(
        Kind.FILE,
        label=gettext_lazy("Choose files, or drop them here"),
        missing=gettext_lazy("Choose at least one file, or write a text."),
        at_once=FILES_AT_ONCE[Kind.FILE],
    )
    text = TextField(gettext_lazy("Or write a text"))
    description = NameField(gettext_lazy("Description (optional)"))
    password = PasswordField(
        label=gettext_lazy("Password"),
        help_text=gettext_lazy("Whoever opens the link needs it. Nobody can look it up later."),
        required=False,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    max_downloads = DownloadsField(
        label=gettext_lazy("How often the link opens"),
        help_text=gettext_lazy("After that it is gone. Previews of chats don't count."),
        required=False,
    )
    folded = ("password", "max_downloads")
    field_order = ["description", "ttl", *folded, "file", "text"]

    def __init__(self, *args: Any, joined: Link | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.joined = joined
        self.fields["password"].widget.attrs["maxlength"] = limits.PASSWORD_MAX
        offered = [("", _("Any number of times")), *((n, n) for n in USUAL_DOWNLOADS)]
        self.fields["max_downloads"].widget = forms.Select(choices=offered)
        if joined:  # whose name, time and protection are those of all that joins it
            for name in ("description", "ttl", *self.folded):
                del self.fields[name]
            self.fields["link"].initial = joined.id
        if self.data.get("text", "").strip():
            self.fields["file"].required = False

    @property
    def arrived(self) -> list[ArrivedFile]:
        text: ArrivedFile | None = self.cleaned_data["text"]
        return [*super().arrived, *([text] if text else [])]

    def limits_sentence(self) -> str:
        return _("Any type, up to %(size)s each.") % {"size": limits.size(settings.MAX_FILE_BYTES)}
