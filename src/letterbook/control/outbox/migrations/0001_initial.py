"""The ledger and its views."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    initial = True
    dependencies = [
        ("deliveries", "0001_initial"),
        ("kernel", "0001_initial"),
        ("mailtemplates", "0001_initial"),
        ("platform", "0001_initial"),
        ("procrastinate", "0041_post_retry_failed_job"),
        ("recipients", "0001_initial"),
    ]
    operations = [
        migrations.RunSQL(Path(__file__).with_name("0001_ledger.sql").read_text(encoding="utf-8"))
    ]
