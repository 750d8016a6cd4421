-- tables: deliveries_target, recipients_membership, recipients_recipient,
--         recipients_quarantinedaddress
-- Whom an analysis would write to first: the same rules, and the same order.
SELECT r.id
  FROM deliveries_target AS t
  JOIN recipients_membership AS m USING (list_id)
  JOIN recipients_recipient AS r ON r.id = m.recipient_id
 WHERE t.delivery_id = %(delivery)s
   AND r.key IS NOT NULL
   AND r.key <> ALL (%(archive_keys)s)
   AND r.denylisted_at IS NULL
   AND NOT EXISTS (SELECT FROM recipients_quarantinedaddress AS q WHERE q.key = r.key)
 ORDER BY r.id
 LIMIT 1
