"""TF files that agents of other systems make: their slices may come one after the other, but as before without gap or
overlap, and never beyond the file."""

from django.db import migrations, models

COVER = """
CREATE OR REPLACE FUNCTION swf_slices_cover() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
BEGIN
    SELECT file.tf_filename INTO wrong
    FROM stf_fastmonfile AS file
    JOIN (
        SELECT fastmon_file_id, slice_id, tf_first, tf_last,
            row_number() OVER in_order - 1 AS nth,
            lag(tf_last) OVER in_order AS before,
            lead(tf_first) OVER in_order AS after
        FROM stf_tfslice WHERE fastmon_file_id IN (SELECT fastmon_file_id FROM fresh)
        WINDOW in_order AS (PARTITION BY fastmon_file_id ORDER BY slice_id)
    ) AS slice ON slice.fastmon_file_id = file.id
    WHERE slice.slice_id <> slice.nth
        OR slice.tf_first <> coalesce(slice.before + 1, file.tf_first)
        OR slice.tf_last > file.tf_last
        OR slice.after IS NULL AND slice.tf_last <> file.tf_last AND NOT file.visiting
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the slices of % must cover it in order, without gap or overlap, all in one statement', wrong
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
"""
COVER_AT_ONCE = COVER.replace(" AND NOT file.visiting", "").replace("        OR slice.tf_last > file.tf_last\n", "")


class Migration(migrations.Migration):
    dependencies = [("stf", "0006_rest")]

    operations = [
        migrations.AddField(
            model_name="fastmonfile",
            name="visiting",
            field=models.BooleanField(
                default=False,
                help_text="An agent of another system made it, cuts it slice by slice, and removes it",
            ),
        ),
        migrations.AddField(
            model_name="fastrun",
            name="visiting",
            field=models.BooleanField(
                default=False,
                help_text="Another system's agent makes its TF files; slices are given out over REST only",
            ),
        ),
        migrations.RunSQL(COVER, COVER_AT_ONCE),
    ]
