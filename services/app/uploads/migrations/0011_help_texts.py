
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('uploads', '0010_packs'),
    ]

    operations = [
        migrations.AlterField(
            model_name='installation',
            name='marker',
            field=models.UUIDField(help_text="The id that the bucket's marker must hold.", null=True),
        ),
        migrations.AlterField(
            model_name='installation',
            name='removal_agreed',
            field=models.BooleanField(db_default=False, default=False, help_text='The operator agreed that reconcile may remove more than a fifth.'),
        ),
        migrations.AlterField(
            model_name='link',
            name='expires_at',
            field=models.DateTimeField(blank=True, help_text='When all of its uploads expire; set by the first one.', null=True, verbose_name='expires'),
        ),
        migrations.AlterField(
            model_name='link',
            name='name',
            field=models.CharField(blank=True, help_text="The visitor's own name for the link.", max_length=100),
        ),
        migrations.AlterField(
            model_name='link',
            name='owner',
            field=models.UUIDField(help_text='The owner of the link and of its uploads.'),
        ),
        migrations.AlterField(
            model_name='link',
            name='password',
            field=models.CharField(blank=True, help_text="The password's hash; blank without a password.", max_length=128),
        ),
        migrations.AlterField(
            model_name='link',
            name='ttl',
            field=models.DurationField(help_text='How long the link lives after its first upload is completed.'),
        ),
        migrations.AlterField(
            model_name='pack',
            name='checksums',
            field=models.JSONField(default=list, help_text="Each file's checksum, as far as its bytes are in those parts."),
        ),
        migrations.AlterField(
            model_name='pack',
            name='failures',
            field=models.PositiveSmallIntegerField(default=0, help_text='How many times in a row no part could be stored.'),
        ),
        migrations.AlterField(
            model_name='pack',
            name='files',
            field=models.JSONField(help_text="The ids of the zip's uploads, in their order."),
        ),
        migrations.AlterField(
            model_name='pack',
            name='lease',
            field=models.UUIDField(help_text='The run of the worker that has leased the zip.', null=True),
        ),
        migrations.AlterField(
            model_name='pack',
            name='lease_until',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='No message about the zip is sent before this time.'),
        ),
        migrations.AlterField(
            model_name='pack',
            name='multipart_id',
            field=models.CharField(blank=True, default='', help_text="The multipart upload's id, with which its parts are aborted.", max_length=1000),
        ),
        migrations.AlterField(
            model_name='pack',
            name='part_bytes',
            field=models.BigIntegerField(help_text='The size of each part but the last.'),
        ),
        migrations.AlterField(
            model_name='pack',
            name='parts',
            field=models.JSONField(default=list, help_text="Storage's answer to each stored part."),
        ),
        migrations.AlterField(
            model_name='pack',
            name='ready',
            field=models.BooleanField(default=False, help_text='Whether the zip is complete.'),
        ),
        migrations.AlterField(
            model_name='pack',
            name='sender',
            field=models.CharField(blank=True, default='', help_text='The sender of its first upload, in whose share the zip counts.', max_length=32),
        ),
        migrations.AlterField(
            model_name='pack',
            name='size_bytes',
            field=models.BigIntegerField(help_text='The size of the zip, which is known and reserved beforehand.', verbose_name='bytes'),
        ),
        migrations.AlterField(
            model_name='purgekey',
            name='multipart_id',
            field=models.CharField(blank=True, db_default='', default='', help_text='A multipart upload under the key, which is aborted first.', max_length=1000),
        ),
        migrations.AlterField(
            model_name='purgekey',
            name='sender',
            field=models.CharField(blank=True, db_default='', default='', help_text="The discarded upload's sender, in whose share its bytes count.", max_length=32),
        ),
        migrations.AlterField(
            model_name='purgekey',
            name='size_bytes',
            field=models.BigIntegerField(default=0, help_text='The bytes that its deletion gives back to the total quota.', verbose_name='bytes'),
        ),
        migrations.AlterField(
            model_name='purgekey',
            name='unsent',
            field=models.BooleanField(db_default=False, default=False, help_text='Whether its upload was announced and never sent.'),
        ),
        migrations.AlterField(
            model_name='purgekey',
            name='until',
            field=models.DateTimeField(blank=True, help_text='Until then a ticket can write the key: it is deleted again; its bytes count.', null=True),
        ),
        migrations.AlterField(
            model_name='refusal',
            name='id',
            field=models.UUIDField(help_text="The upload's id.", primary_key=True, serialize=False),
        ),
        migrations.AlterField(
            model_name='refusal',
            name='until',
            field=models.DateTimeField(help_text='When the upload would have expired.'),
        ),
        migrations.AlterField(
            model_name='sweep',
            name='backlog',
            field=models.BigIntegerField(default=0, help_text='How much the last run left for the next one.', verbose_name='backlog'),
        ),
        migrations.AlterField(
            model_name='sweep',
            name='last_error',
            field=models.TextField(blank=True, verbose_name='last error'),
        ),
        migrations.AlterField(
            model_name='sweep',
            name='last_error_at',
            field=models.DateTimeField(null=True, verbose_name='last failure'),
        ),
        migrations.AlterField(
            model_name='sweep',
            name='last_ok',
            field=models.DateTimeField(null=True, verbose_name='last success'),
        ),
        migrations.AlterField(
            model_name='sweep',
            name='progress',
            field=models.TextField(blank=True, db_default='', default='', help_text='Where the sweep goes on, if it paused.'),
        ),
        migrations.AlterField(
            model_name='sweep',
            name='told_until',
            field=models.DateTimeField(help_text='A message was sent to the worker; the next one is not sent before this time.', null=True),
        ),
        migrations.AlterField(
            model_name='upload',
            name='attempts',
            field=models.PositiveSmallIntegerField(default=0, help_text='How often the worker has tried to make the image safe.'),
        ),
        migrations.AlterField(
            model_name='upload',
            name='content_type',
            field=models.CharField(blank=True, help_text='The content type, recognised by the bytes.', max_length=100),
        ),
        migrations.AlterField(
            model_name='upload',
            name='deadline',
            field=models.DateTimeField(blank=True, help_text='When the upload is discarded unless it has been completed.', null=True),
        ),
        migrations.AlterField(
            model_name='upload',
            name='expires_at',
            field=models.DateTimeField(blank=True, help_text='When the upload expires, with its link; set by `complete`.', null=True, verbose_name='expires'),
        ),
        migrations.AlterField(
            model_name='upload',
            name='folder',
            field=models.CharField(blank=True, db_default='', default='', help_text="The file's folder among its link's files, as a relative path; blank for none.", max_length=1000),
        ),
        migrations.AlterField(
            model_name='upload',
            name='incoming_bytes',
            field=models.BigIntegerField(db_default=0, default=0, help_text='Bytes under its incoming key, or still expected there; counted in addition.'),
        ),
        migrations.AlterField(
            model_name='upload',
            name='lease',
            field=models.UUIDField(blank=True, help_text='The run of the worker that has leased the image.', null=True),
        ),
        migrations.AlterField(
            model_name='upload',
            name='lease_until',
            field=models.DateTimeField(blank=True, help_text='No message about the image is sent before this time.', null=True),
        ),
        migrations.AlterField(
            model_name='upload',
            name='multipart_id',
            field=models.CharField(blank=True, db_default='', default='', help_text="The multipart upload's id, with which its parts are aborted.", max_length=1000),
        ),
        migrations.AlterField(
            model_name='upload',
            name='owner',
            field=models.UUIDField(help_text="The visitor's random id, or the shared board's id."),
        ),
        migrations.AlterField(
            model_name='upload',
            name='reason',
            field=models.CharField(blank=True, help_text='Why the image was rejected.', max_length=200),
        ),
        migrations.AlterField(
            model_name='upload',
            name='sender',
            field=models.CharField(blank=True, db_default='', default='', help_text="A keyed hash of the sender's address, in whose share the upload counts.", max_length=32),
        ),
        migrations.AlterField(
            model_name='upload',
            name='size_bytes',
            field=models.BigIntegerField(help_text='The claimed size while pending, then the stored size.', verbose_name='bytes'),
        ),
        migrations.AlterField(
            model_name='upload',
            name='ticket_until',
            field=models.DateTimeField(blank=True, help_text="When the last bytes by the upload's ticket may arrive.", null=True),
        ),
    ]
