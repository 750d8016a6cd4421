-- A worker that had been taken over came back and said what it never began: its messages are due
-- again, even when all others are through.
UPDATE engine_delivery AS d
   SET state = 'sending', finished_at = NULL
  FROM (
        SELECT DISTINCT delivery_id
          FROM outbox_part
         WHERE due_at IS NOT NULL AND pending + deposited + deferred > 0
       ) AS due
 WHERE d.id = due.delivery_id AND d.state = 'finished'
