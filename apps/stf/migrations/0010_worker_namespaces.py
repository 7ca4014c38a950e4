"""The namespace to which a worker belongs."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0007_search'),
        ('stf', '0009_statuses'),
    ]

    operations = [
        migrations.AddField(
            model_name='worker',
            name='namespace',
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="Those of this testbed's own serve all runs; of old ones it is not known",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name='+',
                to='runs.namespace',
            ),
        ),
    ]
