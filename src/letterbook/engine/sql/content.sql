-- In the order of contents.Frozen.
SELECT c.content, c.kind = 'test', c.email_bcc, c.retry_period, c.retry_max, c.priority,
       c.resends_doubts
  FROM outbox_content AS c
 WHERE c.delivery_id = %(delivery)s
