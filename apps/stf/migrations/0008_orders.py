"""Indexes by which the lists of all runs are ordered."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0007_search'),
        ('stf', '0007_visiting_samples'),
    ]

    operations = [
        # Of tables with millions of rows they take longer than a query may.
        migrations.RunSQL("SET LOCAL statement_timeout = 0", migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='fastmonfile',
            index=models.Index(fields=['tf_first'], name='tf_file_by_range'),
        ),
        migrations.AddIndex(
            model_name='fastmonfile',
            index=models.Index(fields=['created_at'], name='tf_file_by_time'),
        ),
        migrations.AddIndex(
            model_name='fastmonfile',
            index=models.Index(fields=['file_size_bytes'], name='tf_file_by_size'),
        ),
        migrations.AddIndex(
            model_name='fastmonsample',
            index=models.Index(fields=['sequence'], name='sample_by_sequence'),
        ),
        migrations.AddIndex(
            model_name='fastmonsample',
            index=models.Index(fields=['announced_at'], name='sample_by_announcement'),
        ),
        migrations.AddIndex(
            model_name='fastmonsample',
            index=models.Index(fields=['decided_at'], name='sample_by_decision'),
        ),
        migrations.AddIndex(
            model_name='stffile',
            index=models.Index(fields=['generated_at'], name='stf_by_time'),
        ),
        migrations.AddIndex(
            model_name='stffile',
            index=models.Index(fields=['sequence'], name='stf_by_sequence'),
        ),
        migrations.AddIndex(
            model_name='stffile',
            index=models.Index(fields=['size_bytes'], name='stf_by_size'),
        ),
    ]
