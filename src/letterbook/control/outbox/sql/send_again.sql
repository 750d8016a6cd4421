-- tables: outbox_part, outbox_message, recipients_recipient, recipients_quarantinedaddress
-- Messages that had come to an end are tried once more, as a new attempt; a copy that was accepted
-- counts. All of a status (and with one of the failures), or those named; but not to people who
-- want no more letters by now, are in quarantine or gone. The parts are locked already.
WITH chosen AS MATERIALIZED (
    SELECT m.ordinal,
           r.id IS NOT NULL AND r.denylisted_at IS NULL
           AND NOT EXISTS (SELECT FROM recipients_quarantinedaddress
                            WHERE key IN (r.key, lower(m.address))) AS welcome
      FROM outbox_message AS m
 LEFT JOIN recipients_recipient AS r ON r.id = m.recipient_id
     WHERE m.delivery_id = %(delivery)s
       AND m.status = %(status)s
       AND (m.failure IS NULL OR m.failure::text = ANY (%(failures)s))
       AND (%(ordinals)s::int[] IS NULL OR m.ordinal = ANY (%(ordinals)s))
), moved AS (
    UPDATE outbox_message AS m
       SET status = CASE m.copy WHEN 'accepted' THEN 'deposited' ELSE 'pending' END::message_status,
           failure = NULL,
           settled_at = NULL,
           next_attempt_at = NULL
      FROM chosen
     WHERE m.delivery_id = %(delivery)s AND m.ordinal = chosen.ordinal AND chosen.welcome
 RETURNING m.part
), due AS (
    UPDATE outbox_part AS p
       SET due_at = now()
     WHERE p.delivery_id = %(delivery)s AND p.number IN (SELECT part FROM moved)
)
SELECT count(*) FILTER (WHERE welcome), count(*) FILTER (WHERE NOT welcome) FROM chosen
