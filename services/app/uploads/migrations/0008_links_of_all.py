from django.db import migrations

BATCH = 2000  # rows that are locked at a time
# The id of the link is the upload's, so that nothing has to be remembered between the two.
GIVE_LINKS = """
    WITH without AS (
        SELECT id, token, kind, owner, name, ttl, created_at, expires_at FROM uploads_upload
         WHERE link_id IS NULL AND id > %s ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
    ), link AS (
        INSERT INTO uploads_link (id, token, kind, owner, name, ttl, created_at, expires_at, password)
        SELECT id, token, kind, owner, name, ttl, created_at, expires_at, '' FROM without
        RETURNING id
    ), given AS (
        UPDATE uploads_upload SET link_id = link.id FROM link WHERE uploads_upload.id = link.id
    )
    SELECT id FROM link ORDER BY id DESC LIMIT 1
"""
FIRST = "00000000-0000-0000-0000-000000000000"


def give_links(apps, schema_editor):
    """A few rows at a time, past those that somebody has in hand; again, until all have theirs."""
    last = FIRST
    with schema_editor.connection.cursor() as cursor:
        while True:
            cursor.execute(GIVE_LINKS, [last, BATCH])
            row = cursor.fetchone()
            if row:
                last = row[0]
                continue
            cursor.execute("SELECT EXISTS (SELECT FROM uploads_upload WHERE link_id IS NULL)")
            if not cursor.fetchone()[0]:
                return
            last = FIRST
            cursor.execute("SELECT pg_sleep(0.1)")


class Migration(migrations.Migration):
    # Each step stands by itself, takes no lock for long, and may be run again after one that failed.
    atomic = False
    dependencies = [("uploads", "0007_links")]

    operations = [
        migrations.RunPython(give_links, migrations.RunPython.noop),
        migrations.RunSQL(
            [
                "ALTER TABLE uploads_upload VALIDATE CONSTRAINT"
                " uploads_upload_link_id_fk_uploads_link",
                "DROP INDEX CONCURRENTLY IF EXISTS uploads_upload_link_id",
                "CREATE INDEX CONCURRENTLY uploads_upload_link_id ON uploads_upload (link_id)",
                # The one look at all rows that nobody may write beside: of a million, under a second.
                "ALTER TABLE uploads_upload ALTER COLUMN link_id SET NOT NULL",
            ],
            migrations.RunSQL.noop,
        ),
    ]
