"""Roles as groups, memberships of namespaces, identities of other providers.

Who could act before still can: staff become operators of all namespaces. All others may look, as before.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

ROLES = ("viewer", "agent", "operator", "admin")


def make_roles(apps, schema_editor):
    Group = apps.get_model("auth", "Group")
    groups = {name: Group.objects.get_or_create(name=name)[0] for name in ROLES}
    User = apps.get_model("auth", "User")
    Membership = apps.get_model("runs", "Membership")
    for user in User.objects.filter(is_superuser=False):
        user.groups.add(groups["operator" if user.is_staff else "viewer"])
        if user.is_staff:
            Membership.objects.create(user=user, namespace=None)


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0004_rest"),
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Identity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("issuer", models.CharField(max_length=250)),
                ("subject", models.CharField(max_length=255)),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="identities", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "verbose_name_plural": "identities",
                "constraints": [models.UniqueConstraint(fields=("issuer", "subject"), name="identity_unique")],
            },
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("namespace", models.ForeignKey(blank=True, help_text="All without", null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="runs.namespace")),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="memberships", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "ordering": ["user", "namespace"],
                "constraints": [models.UniqueConstraint(fields=("user", "namespace"), name="membership_unique", nulls_distinct=False)],
            },
        ),
        migrations.RunPython(make_roles, migrations.RunPython.noop),
    ]
