"""Triggers: the journal is append-only, a workflow definition is never changed."""

from django.db import migrations

JOURNAL = """
CREATE FUNCTION swf_journal_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.position IS NULL
       AND to_jsonb(NEW) - 'position' = to_jsonb(OLD) - 'position' THEN
        RETURN NEW;  -- the relay gives an entry its position, once
    END IF;
    RAISE EXCEPTION 'the journal is append-only: entry % (%) cannot be changed or deleted', OLD.id, OLD.kind;
END $$;
CREATE TRIGGER swf_journal_append_only BEFORE UPDATE OR DELETE ON runs_journalentry
    FOR EACH ROW EXECUTE FUNCTION swf_journal_append_only();
"""

DEFINITION = """
CREATE FUNCTION swf_definition_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'workflow definition % version % is immutable: other content is a new version',
        OLD.workflow_name, OLD.version;
END $$;
CREATE TRIGGER swf_definition_immutable BEFORE UPDATE ON runs_workflowdefinition
    FOR EACH ROW EXECUTE FUNCTION swf_definition_immutable();
"""


class Migration(migrations.Migration):
    dependencies = [("runs", "0001_initial")]

    operations = [
        migrations.RunSQL(JOURNAL, "DROP FUNCTION swf_journal_append_only() CASCADE"),
        migrations.RunSQL(DEFINITION, "DROP FUNCTION swf_definition_immutable() CASCADE"),
    ]
