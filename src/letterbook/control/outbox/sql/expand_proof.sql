-- tables: deliveries_proof, recipients_recipient, outbox_message, outbox_fields
-- A message to each address of a proof, with the data of the recipient it is written as. The ledger
-- names that recipient, because the message shows their data; the address is the proof's.
WITH chosen AS MATERIALIZED (
    SELECT a.ordinal::int, a.address, r.id, r.email,
           r.first_name, r.last_name, r.language, r.attributes
      FROM deliveries_proof AS p
      JOIN recipients_recipient AS r ON r.id = p.recipient_id
      CROSS JOIN LATERAL jsonb_array_elements_text(p.addresses)
                         WITH ORDINALITY AS a (address, ordinal)
     WHERE p.delivery_id = %(delivery)s
), messages AS (
    INSERT INTO outbox_message
                (delivery_id, ordinal, part, recipient_id, address, status, copy)
         -- One wave, whatever those of the delivery are.
         SELECT %(delivery)s, ordinal, (ordinal - 1) / %(part_size)s + 1, id, address, 'pending',
                CASE WHEN %(email_bcc)s THEN 'waiting' ELSE 'none' END::copy_status
           FROM chosen
), fields AS (
    -- The composer takes the address for recipient.email where no field says otherwise.
    INSERT INTO outbox_fields (delivery_id, ordinal, fields)
         SELECT %(delivery)s, ordinal, {fields} || jsonb_build_object('email', email)
           FROM chosen
)
SELECT count(*) AS target, count(*) AS messages, 0 AS no_address, 0 AS archive_address,
       0 AS denylisted, 0 AS quarantined, 0 AS duplicate
  FROM chosen
