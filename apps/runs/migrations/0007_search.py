"""Indexes by which the journal is searched."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0006_journal_instants'),
    ]

    operations = [
        # Of tables with millions of rows they take longer than a query may.
        migrations.RunSQL("SET LOCAL statement_timeout = 0", migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='journalentry',
            index=models.Index(fields=['run', 'position'], name='journal_of_run'),
        ),
        migrations.AddIndex(
            model_name='journalentry',
            index=models.Index(fields=['kind', 'position'], name='journal_of_kind'),
        ),
        migrations.AddIndex(
            model_name='journalentry',
            index=models.Index(fields=['subject', 'position'], name='journal_of_subject'),
        ),
    ]
