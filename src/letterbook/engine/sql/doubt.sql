UPDATE outbox_message
   SET status = 'in_doubt', settled_at = now()
 WHERE delivery_id = %(delivery)s
   AND ordinal BETWEEN %(first)s AND %(last)s
   AND status = 'sending'
