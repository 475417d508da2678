from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("uploads", "0008_links_of_all")]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="folder",
            field=models.CharField(blank=True, db_default="", default="", help_text="Where it lies among its link's files: a relative path; blank: in none.", max_length=1000),
        ),
    ]
