import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("uploads", "0011_help_texts")]

    operations = [
        migrations.AddField(
            model_name="link",
            name="wrong_at",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.DateTimeField(),
                db_default=[],
                default=list,
                editable=False,
                help_text="When wrong passwords came, the latest first, and no more than count.",
            ),
        ),
        migrations.AddField(
            model_name="link",
            name="held_until",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="After its last download, which may take a while: until then the bytes stay.",
                null=True,
            ),
        ),
    ]
