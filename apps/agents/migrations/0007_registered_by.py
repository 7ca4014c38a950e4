"""Whose the agents and subscribers of other systems are."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0006_login_marks'),
    ]

    operations = [
        migrations.AddField(
            model_name='systemagent',
            name='registered_by',
            field=models.CharField(
                blank=True, default='', help_text='The user whose it is, if it is visiting', max_length=150
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='subscriber',
            name='registered_by',
            field=models.CharField(blank=True, default='', help_text='The user whose it is', max_length=150),
            preserve_default=False,
        ),
    ]
