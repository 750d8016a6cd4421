-- What this worker may have of the route's connections. Workers with letters share alike; one
-- without keeps its idle ones as long as nobody else has any. Nobody gets what another one still
-- has, so that the sum stays within the limit: what is open counts until it is closed.
WITH others AS MATERIALIZED (
    SELECT coalesce(sum(connections), 0) AS held,
           count(*) FILTER (WHERE busy) AS busy,
           count(*) FILTER (WHERE busy AND worker < %(worker)s) AS before
      FROM outbox_share
     WHERE route = %(route)s AND worker <> %(worker)s AND until > clock_timestamp()
), fair AS (
    SELECT r.connections - others.held AS free,
           CASE WHEN %(busy)s THEN r.connections / (others.busy + 1)
                                   + (others.before < r.connections %% (others.busy + 1))::int
                WHEN others.busy > 0 THEN 0
                ELSE %(open)s END AS share
      FROM others, engine_route AS r
     WHERE r.name = %(route)s AND r.connections IS NOT NULL
), granted AS MATERIALIZED (
    SELECT greatest(0, least(%(most)s, share, free))::int AS connections FROM fair
), noted AS (
    INSERT INTO outbox_share (route, worker, connections, busy, bound, per_second, until)
         VALUES (%(route)s, %(worker)s,
                 greatest(%(open)s, (SELECT connections FROM granted)),
                 %(busy)s, %(bound)s, %(per_second)s, clock_timestamp() + %(lease)s)
    ON CONFLICT (route, worker) DO UPDATE
            SET connections = excluded.connections,
                busy = excluded.busy,
                bound = excluded.bound,
                per_second = excluded.per_second,
                until = excluded.until
), gone AS (
    DELETE FROM outbox_share
     WHERE route = %(route)s AND worker <> %(worker)s AND until <= clock_timestamp()
)
SELECT connections FROM granted
