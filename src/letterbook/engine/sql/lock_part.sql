-- Lock a part, if it is still ours.
SELECT FROM outbox_part
 WHERE delivery_id = %(delivery)s AND number = %(part)s AND epoch = %(epoch)s
   FOR NO KEY UPDATE
