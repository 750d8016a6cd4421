-- Leave to begin messages: as many as the route's rate has made room for since the last ones were
-- given, of at most %(burst)s seconds, so that nobody can save them up. All workers draw from this
-- one row; asking in sets keeps it cheap.
WITH flow AS MATERIALIZED (
    SELECT f.given_until, r.rate
      FROM outbox_flow AS f JOIN engine_route AS r ON r.name = f.route
     WHERE f.route = %(route)s AND r.rate IS NOT NULL
       FOR NO KEY UPDATE OF f
), since AS MATERIALIZED (
    -- The clock is read when the row is locked. At a low rate one token may be saved up.
    SELECT rate, now, greatest(given_until, now - greatest(%(burst)s, 1 / rate) * interval '1 second')
           AS start
      FROM flow, LATERAL (SELECT clock_timestamp() AS now
                           WHERE flow.given_until IS NOT NULL) AS clock
), given AS MATERIALIZED (
    -- A microsecond is forgiven: times are no finer.
    SELECT rate, start,
           least(%(wanted)s,
                 floor((extract(epoch FROM now - start) + 1e-6) * rate))::int AS tokens
      FROM since
), noted AS (
    UPDATE outbox_flow AS f
       SET given_until = start + given.tokens / given.rate * interval '1 second'
      FROM given
     WHERE f.route = %(route)s AND given.tokens > 0
)
SELECT tokens FROM given
