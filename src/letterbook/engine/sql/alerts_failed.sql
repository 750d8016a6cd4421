UPDATE outbox_alert_news
   SET trouble = %(trouble)s, due_at = now() + %(wait)s
 WHERE alert_id = %(alert)s AND channel = %(channel)s AND recovered = %(recovered)s
