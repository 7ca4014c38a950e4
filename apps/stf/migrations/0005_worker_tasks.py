import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    dependencies = [("runs", "0003_journal_heard"), ("stf", "0004_fast_path")]

    operations = [
        migrations.CreateModel(
            name="WorkerTask",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("task_name", models.CharField(max_length=250, unique=True)),
                ("site", models.CharField(max_length=60)),
                ("jobs", models.PositiveIntegerField(help_text="How many workers it was made for")),
                (
                    "open_jobs",
                    models.PositiveIntegerField(help_text="How many of them may still come or are at work"),
                ),
                ("jedi_task_id", models.BigIntegerField(blank=True, null=True, unique=True)),
                (
                    "reason",
                    models.TextField(blank=True, help_text="Why it cannot be submitted, or why it ended"),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "submitting_at",
                    models.DateTimeField(
                        blank=True, help_text="When it was first tried to submit it", null=True
                    ),
                ),
                ("submitted_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="worker_tasks",
                        to="runs.run",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(fields=["run"], condition=Q(ended_at__isnull=True), name="worker_task_open"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(jedi_task_id__isnull=True) | Q(submitted_at__isnull=False),
                        name="worker_task_submitted_has_time",
                    ),
                    models.CheckConstraint(
                        condition=Q(open_jobs__lte=F("jobs")), name="worker_task_no_more_open"
                    ),
                ],
            },
        ),
    ]
