-- tables: outbox_message
-- Of a test that was stopped: how many recipients were accepted before. (Of any other, the tallies
-- tell: all that is cancelled has been tested.)
SELECT count(*) FROM outbox_message WHERE delivery_id = %(delivery)s AND failure = 'tested'
