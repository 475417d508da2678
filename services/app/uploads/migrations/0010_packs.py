import uuid

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Now

# The release before knows no zips, and deletes links while this one is rolled out: then Postgres
# deletes their packs, and reconcile their zips.
LINK = """
    ALTER TABLE uploads_pack
      ADD CONSTRAINT uploads_pack_link_id_fk_uploads_link FOREIGN KEY (link_id)
          REFERENCES uploads_link (id) ON DELETE CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("uploads", "0009_folder")]

    operations = [
        migrations.CreateModel(
            name="Pack",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(db_default=Now(), editable=False, verbose_name="created")),
                ("files", models.JSONField(help_text="The ids of the uploads that are in it, in their order.")),
                ("size_bytes", models.BigIntegerField(help_text="Of the zip, known beforehand; they are reserved.", verbose_name="bytes")),
                ("part_bytes", models.BigIntegerField(help_text="Of each of its parts but the last.")),
                ("sender", models.CharField(blank=True, default="", help_text="Its first upload's.", max_length=32)),
                ("ready", models.BooleanField(default=False, help_text="It is there, whole.")),
                ("multipart_id", models.CharField(blank=True, default="", help_text="While it is made: what aborts its parts.", max_length=1000)),
                ("parts", models.JSONField(default=list, help_text="What storage said of each part that it has.")),
                ("checksums", models.JSONField(default=list, help_text="Of each file's bytes, as far as they are in those parts.")),
                ("failures", models.PositiveSmallIntegerField(default=0, help_text="How often in a row no part could be stored.")),
                ("lease", models.UUIDField(help_text="Which run of the worker has it in hand.", null=True)),
                ("lease_until", models.DateTimeField(db_default=Now(), help_text="Until then nobody is told of it again.")),
                ("link", models.OneToOneField(db_constraint=False, editable=False, on_delete=django.db.models.deletion.CASCADE, related_name="pack", to="uploads.link")),
            ],
            options={
                "verbose_name": "zip",
                "verbose_name_plural": "zips",
                "indexes": [
                    models.Index(condition=Q(ready=False), fields=["lease_until"], name="pack_unfinished"),
                    models.Index(condition=~Q(sender=""), fields=["sender"], name="pack_sender"),
                ],
                "constraints": [models.CheckConstraint(condition=Q(size_bytes__gt=0), name="pack_size")],
            },
        ),
        migrations.RunSQL(LINK, migrations.RunSQL.noop),
    ]
