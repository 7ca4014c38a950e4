"""An index by which the status of STFs is found."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('stf', '0008_orders'),
    ]

    operations = [
        # Of a table with millions of rows it takes longer than a query may.
        migrations.RunSQL("SET LOCAL statement_timeout = 0", migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='stfprocessing',
            index=models.Index(
                fields=['stf'], condition=~models.Q(state='done'), name='processing_not_done'
            ),
        ),
    ]
