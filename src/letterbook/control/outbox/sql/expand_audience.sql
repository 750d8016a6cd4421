-- tables: deliveries_target, recipients_membership, recipients_recipient,
--         recipients_quarantinedaddress, outbox_message, outbox_fields, outbox_exclusion
-- Everybody on the target lists becomes a message or an exclusion, in one pass. The order of the
-- rules is that of Campaign (reference/adobe-campaign.md, 4.3): address, archive, denylist,
-- quarantine, duplicates. MATERIALIZED, because the ordinals must be counted once.
WITH targeted AS (
    SELECT m.recipient_id, count(*) AS times
      FROM deliveries_target AS t
      JOIN recipients_membership AS m USING (list_id)
     WHERE t.delivery_id = %(delivery)s
  GROUP BY m.recipient_id
), judged AS MATERIALIZED (
    SELECT r.id, r.email, t.times,
           r.first_name, r.last_name, r.language, r.attributes,
           CASE WHEN r.key IS NULL THEN 'no_address'
                WHEN r.key = ANY (%(archive_keys)s) THEN 'archive_address'
                WHEN r.denylisted_at IS NOT NULL THEN 'denylisted'
                WHEN q.key IS NOT NULL THEN 'quarantined'
           END AS reason
      FROM targeted AS t
      JOIN recipients_recipient AS r ON r.id = t.recipient_id
 LEFT JOIN recipients_quarantinedaddress AS q ON q.key = r.key
), chosen AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY id)::int AS ordinal, judged.*
      FROM judged
     WHERE reason IS NULL
), plan AS MATERIALIZED (
    SELECT array_agg(first_ordinal ORDER BY number) AS firsts
      FROM outbox_plan_parts((SELECT count(*)::int FROM chosen), %(part_size)s,
                             %(sizes)s::int[], %(shares)s::numeric[], %(delays)s::interval[])
), messages AS (
    INSERT INTO outbox_message
                (delivery_id, ordinal, part, recipient_id, address, status, copy)
         SELECT %(delivery)s, ordinal, width_bucket(ordinal, plan.firsts), id, email, 'pending',
                CASE WHEN %(email_bcc)s THEN 'waiting' ELSE 'none' END::copy_status
           FROM chosen CROSS JOIN plan
), fields AS (
    INSERT INTO outbox_fields (delivery_id, ordinal, fields)
         SELECT %(delivery)s, ordinal, {fields}
           FROM chosen
), exclusions AS (
    INSERT INTO outbox_exclusion (delivery_id, recipient_id, address, reason)
         SELECT %(delivery)s, id, email, reason FROM judged WHERE reason IS NOT NULL
          UNION ALL
         SELECT %(delivery)s, id, email, 'duplicate'
           FROM judged CROSS JOIN generate_series(2, times)
)
SELECT coalesce(sum(times), 0) AS target,
       count(*) FILTER (WHERE reason IS NULL) AS messages,
       count(*) FILTER (WHERE reason = 'no_address') AS no_address,
       count(*) FILTER (WHERE reason = 'archive_address') AS archive_address,
       count(*) FILTER (WHERE reason = 'denylisted') AS denylisted,
       count(*) FILTER (WHERE reason = 'quarantined') AS quarantined,
       coalesce(sum(times - 1), 0) AS duplicate
  FROM judged
