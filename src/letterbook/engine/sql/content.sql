SELECT c.kind = 'test', c.content, c.email_bcc, c.retry_period, c.retry_max
  FROM outbox_content AS c
 WHERE c.delivery_id = %(delivery)s
