from django.db import migrations, models
from django.db.models import F, Q
from django.db.models.functions import Now
import django.db.models.deletion
import uploads.models
import uuid

# While this release is rolled out, the one before goes on writing uploads, which knows no links, and
# reading those of this one. Postgres gives its uploads their links, and ours the columns that it
# reads. The next release's migration drops these triggers with `token`, `name` and `ttl`.
TRIGGERS = """
    CREATE FUNCTION uploads_upload_gets_its_link() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.link_id IS NULL THEN
            INSERT INTO uploads_link
                   (id, token, kind, owner, name, ttl, created_at, expires_at, password)
            VALUES (NEW.id, NEW.token, NEW.kind, NEW.owner, NEW.name, NEW.ttl, NEW.created_at,
                    NEW.expires_at, '')
            RETURNING id INTO NEW.link_id;
        ELSE
            SELECT token, name, ttl INTO NEW.token, NEW.name, NEW.ttl
              FROM uploads_link WHERE id = NEW.link_id;
        END IF;
        RETURN NEW;
    END $$;
    CREATE FUNCTION uploads_upload_begins_its_link() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE uploads_link SET expires_at = NEW.expires_at
         WHERE id = NEW.link_id AND expires_at IS NULL;
        SELECT expires_at INTO NEW.expires_at FROM uploads_link WHERE id = NEW.link_id;
        RETURN NEW;
    END $$;
    CREATE TRIGGER upload_gets_its_link BEFORE INSERT ON uploads_upload
       FOR EACH ROW EXECUTE FUNCTION uploads_upload_gets_its_link();
    CREATE TRIGGER upload_begins_its_link BEFORE UPDATE OF expires_at ON uploads_upload
       FOR EACH ROW WHEN (OLD.expires_at IS NULL AND NEW.expires_at IS NOT NULL
                          AND NEW.link_id IS NOT NULL)
       EXECUTE FUNCTION uploads_upload_begins_its_link();
"""
NO_TRIGGERS = """
    DROP TRIGGER upload_gets_its_link ON uploads_upload;
    DROP TRIGGER upload_begins_its_link ON uploads_upload;
    DROP FUNCTION uploads_upload_gets_its_link();
    DROP FUNCTION uploads_upload_begins_its_link();
"""
# Several uploads of a link have its token. No statement here looks at the rows, so that the table
# is locked for a moment; 0008 does.
COLUMNS = """
    ALTER TABLE uploads_upload
      DROP CONSTRAINT uploads_upload_token_key,
      ADD COLUMN link_id uuid,
      ADD CONSTRAINT uploads_upload_link_id_fk_uploads_link FOREIGN KEY (link_id)
          REFERENCES uploads_link (id) DEFERRABLE INITIALLY DEFERRED NOT VALID;
"""
NO_COLUMNS = """
    UPDATE uploads_upload AS upload SET token = left(md5(upload.id::text || random()), 22)
     WHERE EXISTS (SELECT FROM uploads_upload AS other
                    WHERE other.token = upload.token AND other.id < upload.id);
    ALTER TABLE uploads_upload
      DROP COLUMN link_id,
      ADD CONSTRAINT uploads_upload_token_key UNIQUE (token);
"""


class Migration(migrations.Migration):
    dependencies = [("uploads", "0006_turns")]

    operations = [
        migrations.CreateModel(
            name="Link",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("token", models.CharField(default=uploads.models.new_token, editable=False, max_length=22, unique=True)),
                ("kind", models.CharField(choices=[("image", "image"), ("file", "file")], max_length=8, verbose_name="kind")),
                ("owner", models.UUIDField(help_text="Its uploads'.")),
                ("name", models.CharField(blank=True, help_text="As the visitor calls it.", max_length=100)),
                ("ttl", models.DurationField(help_text="How long it lives from when its first upload is there.")),
                ("created_at", models.DateTimeField(db_default=Now(), editable=False, verbose_name="created")),
                ("expires_at", models.DateTimeField(blank=True, help_text="From the first upload on: all's.", null=True, verbose_name="expires")),
                ("password", models.CharField(blank=True, help_text="Hashed; blank: none.", max_length=128)),
                ("max_downloads", models.PositiveIntegerField(blank=True, null=True)),
                ("downloads", models.PositiveIntegerField(db_default=0, default=0, verbose_name="downloads")),
            ],
            options={
                "verbose_name": "link",
                "verbose_name_plural": "links",
                "indexes": [
                    models.Index(fields=["expires_at"], name="link_expires_at"),
                    models.Index(fields=["owner", "kind", "created_at"], name="link_owner"),
                    models.Index(condition=Q(expires_at=None), fields=["created_at"], name="link_not_begun"),
                ],
                "constraints": [
                    models.CheckConstraint(condition=Q(kind__in=["image", "file"]), name="link_kind"),
                    models.CheckConstraint(condition=Q(downloads__lte=F("max_downloads")), name="link_downloads"),
                    models.CheckConstraint(condition=Q(max_downloads__gte=1), name="link_opens_at_least_once"),
                    models.CheckConstraint(condition=Q(kind="file") | Q(max_downloads=None, password=""), name="link_only_files_are_protected"),
                ],
            },
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(COLUMNS, NO_COLUMNS),
                migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
            ],
            state_operations=[
                migrations.AddField(
                    model_name="upload",
                    name="link",
                    field=models.ForeignKey(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name="uploads", to="uploads.link"),
                    preserve_default=False,
                ),
                migrations.RemoveField(model_name="upload", name="token"),
                migrations.RemoveField(model_name="upload", name="name"),
                migrations.RemoveField(model_name="upload", name="ttl"),
                migrations.AlterField(
                    model_name="upload",
                    name="expires_at",
                    field=models.DateTimeField(blank=True, help_text="Its link's, from `complete` on.", null=True, verbose_name="expires"),
                ),
            ],
        ),
    ]
