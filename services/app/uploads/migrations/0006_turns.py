from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("uploads", "0005_shares")]

    operations = [
        migrations.AddField(
            model_name="sweep",
            name="told_until",
            field=models.DateTimeField(
                help_text="A worker was told of it, and until then is not told again.", null=True
            ),
        ),
        migrations.AddField(
            model_name="sweep",
            name="progress",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="How far it has come, where it took a rest.",
            ),
        ),
    ]
