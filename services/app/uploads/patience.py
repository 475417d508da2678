"""How long bytes are waited for: by the server on a connection, and by the row that is theirs."""

SLOWEST = 64 * 1024  # bytes a second; what comes so fast is always waited for
# Nothing has come for so many seconds: a part of 5 MiB at that speed, and a minute for storage.
SILENCE = 80.0 + 60.0
LONGEST = 24 * 60 * 60.0  # seconds, however slowly it comes
