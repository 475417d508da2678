"""How long the server waits for bytes on a connection, and a pending row for its bytes."""

SLOWEST = 64 * 1024  # bytes a second; a connection that is this fast is never closed
# Seconds without a byte until the wait ends: time for a part of 5 MiB at that speed, and a minute
# for storage.
SILENCE = 80.0 + 60.0
LONGEST = 24 * 60 * 60.0  # seconds for the whole body, at any speed
