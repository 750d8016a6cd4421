UPDATE outbox_alert_news
   SET told_at = now(), trouble = NULL
 WHERE alert_id = %(alert)s AND channel = %(channel)s AND recovered = %(recovered)s
