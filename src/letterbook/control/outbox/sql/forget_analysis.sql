-- tables: outbox_message, outbox_fields, outbox_part, outbox_exclusion, outbox_content
-- An analysis that is made anew replaces the one before. Nothing has been sent from it.
WITH messages AS (DELETE FROM outbox_message WHERE delivery_id = %(delivery)s),
     fields AS (DELETE FROM outbox_fields WHERE delivery_id = %(delivery)s),
     parts AS (DELETE FROM outbox_part WHERE delivery_id = %(delivery)s),
     exclusions AS (DELETE FROM outbox_exclusion WHERE delivery_id = %(delivery)s)
DELETE FROM outbox_content WHERE delivery_id = %(delivery)s
