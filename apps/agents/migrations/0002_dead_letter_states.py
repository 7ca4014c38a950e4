"""Dead letters have a state: open, replay requested, replayed or discarded. Each has an id, by which it is replayed."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL(
            "UPDATE agents_deadletter SET msg_id = gen_random_uuid() WHERE msg_id = ''",
            migrations.RunSQL.noop,
        ),
        migrations.RemoveConstraint(
            model_name='deadletter',
            name='dead_letter_unique',
        ),
        migrations.AddField(
            model_name='deadletter',
            name='discarded_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='deadletter',
            name='discarded_by',
            field=models.CharField(blank=True, max_length=100),
        ),
        migrations.AddField(
            model_name='deadletter',
            name='discarded_reason',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='deadletter',
            name='replay_requested_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='deadletter',
            name='replay_requested_by',
            field=models.CharField(blank=True, max_length=100),
        ),
        migrations.AddField(
            model_name='deadletter',
            name='replayed_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='deadletter',
            name='replays',
            field=models.PositiveIntegerField(default=0, help_text='How often its agent was given it again'),
        ),
        migrations.AddField(
            model_name='deadletter',
            name='state',
            field=models.CharField(choices=[('open', 'Open'), ('requested', 'Replay requested'), ('replayed', 'Replayed'), ('discarded', 'Discarded')], default='open', max_length=20),
        ),
        migrations.AlterField(
            model_name='deadletter',
            name='msg_id',
            field=models.UUIDField(help_text='Its own id, or that of its delivery'),
        ),
        migrations.AlterField(
            model_name='deadletter',
            name='reason',
            field=models.TextField(help_text='Why it was parked, the last time'),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(fields=['state', 'agent', 'id'], name='dead_letter_by_state'),
        ),
        migrations.AddConstraint(
            model_name='deadletter',
            constraint=models.UniqueConstraint(fields=('agent', 'msg_id'), name='dead_letter_unique'),
        ),
        migrations.AddConstraint(
            model_name='deadletter',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('discarded_at__isnull', True), ('replay_requested_at__isnull', True), ('replayed_at__isnull', True), ('state', 'open')), models.Q(('discarded_at__isnull', True), ('replay_requested_at__isnull', False), ('replayed_at__isnull', True), ('state', 'requested')), models.Q(('discarded_at__isnull', True), ('replay_requested_at__isnull', False), ('replayed_at__isnull', False), ('state', 'replayed')), models.Q(('discarded_at__isnull', False), ('replay_requested_at__isnull', True), ('replayed_at__isnull', True), ('state', 'discarded')), _connector='OR'), name='dead_letter_state_has_its_times'),
        ),
        migrations.AddConstraint(
            model_name='deadletter',
            constraint=models.CheckConstraint(condition=models.Q(('replay_requested_at__isnull', True), models.Q(('replay_requested_by', ''), _negated=True), _connector='OR'), name='dead_letter_replay_has_person'),
        ),
        migrations.AddConstraint(
            model_name='deadletter',
            constraint=models.CheckConstraint(condition=models.Q(('discarded_at__isnull', True), models.Q(models.Q(('discarded_by', ''), _negated=True), models.Q(('discarded_reason', ''), _negated=True)), _connector='OR'), name='dead_letter_discard_has_reason'),
        ),
    ]
