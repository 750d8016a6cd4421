-- The ledger. Its words are those of letterbook/mail/status.py, in the same order; a test
-- compares them.

CREATE TYPE message_status AS ENUM (
    'pending', 'deposited', 'sending', 'sent', 'deferred', 'failed', 'in_doubt', 'cancelled'
);
CREATE TYPE copy_status AS ENUM ('none', 'waiting', 'accepted', 'owed', 'refused', 'returned');
CREATE TYPE message_failure AS ENUM (
    'refused', 'personalisation', 'not_supported', 'reveals_archive', 'archive_refused', 'expired',
    'tested', 'lost'
);
CREATE TYPE delivery_kind AS ENUM ('delivery', 'proof', 'test');

-- What a delivery's messages are made of, frozen at analysis.
CREATE TABLE outbox_content (
    delivery_id bigint PRIMARY KEY,
    kind delivery_kind NOT NULL,
    content jsonb NOT NULL,
    email_bcc boolean NOT NULL,  -- whether messages are copied: never those of a test
    retry_period interval NOT NULL,
    retry_max integer NOT NULL,
    validity interval NOT NULL,
    priority smallint NOT NULL,      -- from -2, very low, to 2, very high
    resends_doubts boolean NOT NULL, -- messages in doubt are sent again without asking
    report jsonb NOT NULL,
    frozen_at timestamptz NOT NULL DEFAULT now()
);

-- A part is what one worker takes at a time. Its tallies are kept by the trigger below.
CREATE TABLE outbox_part (
    delivery_id bigint NOT NULL,
    number integer NOT NULL,
    first_ordinal integer NOT NULL,
    last_ordinal integer NOT NULL,
    wave integer NOT NULL DEFAULT 1,
    starts_after interval NOT NULL DEFAULT '0',  -- its wave begins so long after the start
    owner uuid,
    epoch integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    dated_at timestamptz,  -- the Date of its messages, fixed before the first deposit
    due_at timestamptz,    -- when there is something to send next; null: nothing, or not started
    owed_at timestamptz,   -- when an owed copy may be brought next
    pending integer NOT NULL DEFAULT 0,
    deposited integer NOT NULL DEFAULT 0,
    sending integer NOT NULL DEFAULT 0,
    sent integer NOT NULL DEFAULT 0,
    deferred integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    in_doubt integer NOT NULL DEFAULT 0,
    cancelled integer NOT NULL DEFAULT 0,
    archived_not_sent integer NOT NULL DEFAULT 0,  -- cancelled or failed, and the archive has a copy
    copies_none integer NOT NULL DEFAULT 0,
    copies_waiting integer NOT NULL DEFAULT 0,
    copies_accepted integer NOT NULL DEFAULT 0,
    copies_owed integer NOT NULL DEFAULT 0,
    copies_refused integer NOT NULL DEFAULT 0,
    copies_returned integer NOT NULL DEFAULT 0,
    PRIMARY KEY (delivery_id, number)
) WITH (fillfactor = 50);
CREATE INDEX outbox_part_due ON outbox_part (delivery_id, number) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_part_owing ON outbox_part (delivery_id, number) WHERE copies_owed > 0;
CREATE INDEX outbox_part_doubtful ON outbox_part (delivery_id) WHERE in_doubt > 0;
CREATE INDEX outbox_part_returned ON outbox_part (delivery_id) WHERE copies_returned > 0;

-- No index but the key and the recipient's: updates stay within the page (HOT).
CREATE TABLE outbox_message (
    delivery_id bigint NOT NULL,
    recipient_id bigint NOT NULL,
    next_attempt_at timestamptz,
    copy_at timestamptz,
    settled_at timestamptz,
    ordinal integer NOT NULL,
    part integer NOT NULL,
    copy_version integer,
    status message_status NOT NULL,
    copy copy_status NOT NULL,
    failure message_failure,
    attempts smallint NOT NULL DEFAULT 0,
    copy_attempts smallint NOT NULL DEFAULT 0,
    generation smallint NOT NULL DEFAULT 0,
    address text NOT NULL,
    sha256 bytea,
    PRIMARY KEY (delivery_id, ordinal)
) PARTITION BY RANGE (delivery_id);
CREATE INDEX outbox_message_recipient ON outbox_message (recipient_id, delivery_id);

-- The fields of a recipient that the delivery's templates use.
CREATE TABLE outbox_fields (
    delivery_id bigint NOT NULL,
    ordinal integer NOT NULL,
    fields jsonb NOT NULL,
    PRIMARY KEY (delivery_id, ordinal)
) PARTITION BY RANGE (delivery_id);

-- Every reply that a message or its copy got, in the server's words. Only ever added to.
CREATE TABLE outbox_reply (
    delivery_id bigint NOT NULL,
    ordinal integer NOT NULL,
    attempt smallint NOT NULL,
    to_archive boolean NOT NULL,
    at timestamptz NOT NULL,
    reply text NOT NULL
) PARTITION BY RANGE (delivery_id);
CREATE INDEX outbox_reply_message ON outbox_reply (delivery_id, ordinal);

-- Hashes beside the one in the message's row, for the rare message that could not be composed again
-- to the same bytes: the ones before it, or that of a copy brought later.
CREATE TABLE outbox_generation (
    delivery_id bigint NOT NULL,
    ordinal integer NOT NULL,
    generation smallint NOT NULL,
    sha256 bytea NOT NULL,
    PRIMARY KEY (delivery_id, ordinal, generation)
);

CREATE TABLE outbox_exclusion (
    delivery_id bigint NOT NULL,
    recipient_id bigint NOT NULL,
    address text,
    reason text NOT NULL
);
CREATE INDEX outbox_exclusion_delivery ON outbox_exclusion (delivery_id);

-- How each route is, for all workers alike.
CREATE TABLE outbox_health (
    route text PRIMARY KEY,
    state text NOT NULL DEFAULT 'up' CHECK (state IN ('up', 'slow', 'down')),
    because text,
    since timestamptz NOT NULL DEFAULT now(),
    probe_at timestamptz,
    probe_delay interval NOT NULL DEFAULT '1 second'
);
INSERT INTO outbox_health (route) VALUES ('recipients'), ('archive');

-- How much goes through each route, all workers together: tokens of its rate have been given up to
-- ``given_until``; ``per_second`` is what it was last seen to accept.
CREATE TABLE outbox_flow (
    route text PRIMARY KEY,
    given_until timestamptz NOT NULL DEFAULT now(),
    per_second double precision,
    measured_at timestamptz
);
INSERT INTO outbox_flow (route) VALUES ('recipients'), ('archive');

-- What each worker has of each route, until its time is up: connections, and the rate it measures.
CREATE TABLE outbox_share (
    route text NOT NULL,
    worker uuid NOT NULL,
    connections integer NOT NULL,
    busy boolean NOT NULL,       -- it has letters for this route
    bound boolean NOT NULL,      -- and most of its letters wait for it
    per_second double precision, -- null: not measured
    until timestamptz NOT NULL,
    PRIMARY KEY (route, worker)
);

CREATE TABLE outbox_worker (
    id uuid PRIMARY KEY,
    host text NOT NULL,
    process integer NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- An alert is open as long as its cause lasts. Its facts are numbers, our words and servers' codes:
-- nothing personal.
CREATE TABLE outbox_alert (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    cause text NOT NULL,
    object text NOT NULL,
    facts jsonb NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    gone_at timestamptz,  -- since when the cause is away; null: it is there
    closed_at timestamptz
);
CREATE UNIQUE INDEX outbox_alert_open ON outbox_alert (cause, object) WHERE closed_at IS NULL;

-- What there is to tell of an alert over each channel, and how that went.
CREATE TABLE outbox_alert_news (
    alert_id bigint NOT NULL REFERENCES outbox_alert ON DELETE CASCADE,
    channel text NOT NULL REFERENCES platform_alertchannel (kind) ON DELETE CASCADE,
    recovered boolean NOT NULL,
    due_at timestamptz NOT NULL DEFAULT now(),
    tries integer NOT NULL DEFAULT 0,
    told_at timestamptz,
    trouble text,
    PRIMARY KEY (alert_id, channel, recovered)
);
CREATE INDEX outbox_alert_untold ON outbox_alert_news (due_at) WHERE told_at IS NULL;

-- Which database this is and what course its history took: the cluster, the timeline of its WAL, and
-- the numbers of database and table. A failover, a recovery from a base backup, a restored dump:
-- each changes one of them. The row says which of them somebody knows of; until it is true again
-- nothing is claimed and no intent is granted.
CREATE TABLE outbox_lineage (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    lineage text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
CREATE FUNCTION outbox_current_lineage() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('cluster %s, timeline %s, database %s, table %s',
                  c.system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8),
                  d.oid, 'outbox_lineage'::regclass::oid)
      FROM pg_control_system() AS c, pg_database AS d
     WHERE d.datname = current_database()
$$;
INSERT INTO outbox_lineage (lineage) VALUES (outbox_current_lineage());

-- Partitions hold blocks of a hundred deliveries, so that retention can drop a block whole. They
-- are attached, not created in place, because that lets everyone else go on working.
CREATE FUNCTION outbox_make_partition(delivery bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    block bigint := delivery / 100;
    parent text;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('outbox_make_partition'));
    FOREACH parent IN ARRAY ARRAY['outbox_message', 'outbox_fields', 'outbox_reply'] LOOP
        partition := format('%s_%s', parent, block);
        CONTINUE WHEN to_regclass(partition) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', partition, parent);
        IF parent = 'outbox_message' THEN
            -- Room for the next version of each row in its own page.
            EXECUTE format('ALTER TABLE %I SET (fillfactor = 50)', partition);
        END IF;
        EXECUTE format(
            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            parent, partition, block * 100, block * 100 + 100
        );
    END LOOP;
END
$$;

CREATE FUNCTION outbox_analyze_partition(delivery bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ANALYZE outbox_message_%1$s, outbox_fields_%1$s', delivery / 100);
END
$$;

-- How messages are divided into waves and these into parts. A wave has a size or a share (percent);
-- the last one takes what is left. ``delays`` count from the wave before.
CREATE FUNCTION outbox_plan_parts(
    messages integer, part_size integer, sizes integer[], shares numeric[], delays interval[]
) RETURNS TABLE (
    number integer, first_ordinal integer, last_ordinal integer, wave integer,
    starts_after interval
) LANGUAGE sql STABLE AS $$
    WITH ends AS (
        SELECT w.n::int AS wave,
               CASE WHEN w.n = cardinality(sizes) THEN messages
                    ELSE least(messages,
                               sum(coalesce(w.size, ceil(messages * w.share / 100))) OVER before)
               END::int AS last,
               sum(w.delay) OVER before AS starts_after
          FROM unnest(sizes, shares, delays) WITH ORDINALITY AS w (size, share, delay, n)
        WINDOW before AS (ORDER BY w.n)
    ), waves AS (
        SELECT ends.*, lag(last, 1, 0) OVER (ORDER BY ends.wave) + 1 AS first FROM ends
    )
    SELECT (row_number() OVER (ORDER BY part_first))::int, part_first,
           least(part_first + part_size - 1, waves.last), waves.wave, waves.starts_after
      FROM waves, generate_series(waves.first, waves.last, part_size) AS part_first
$$;

-- Whether an attempt has no answer, not even somebody's word: nobody knows whether it arrived.
CREATE FUNCTION outbox_is_doubtful(of_delivery bigint, message integer, attempts smallint)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT count(DISTINCT attempt) < attempts FROM outbox_reply
     WHERE delivery_id = of_delivery AND ordinal = message
       AND NOT to_archive AND attempt BETWEEN 1 AND attempts
$$;

-- Whoever changes messages, by whatever statement, changes the tallies with it.
CREATE FUNCTION outbox_keep_tallies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE outbox_part AS p
       SET pending = p.pending + d.pending,
           deposited = p.deposited + d.deposited,
           sending = p.sending + d.sending,
           sent = p.sent + d.sent,
           deferred = p.deferred + d.deferred,
           failed = p.failed + d.failed,
           in_doubt = p.in_doubt + d.in_doubt,
           cancelled = p.cancelled + d.cancelled,
           archived_not_sent = p.archived_not_sent + d.archived_not_sent,
           copies_none = p.copies_none + d.copies_none,
           copies_waiting = p.copies_waiting + d.copies_waiting,
           copies_accepted = p.copies_accepted + d.copies_accepted,
           copies_owed = p.copies_owed + d.copies_owed,
           copies_refused = p.copies_refused + d.copies_refused,
           copies_returned = p.copies_returned + d.copies_returned
      FROM (
            SELECT delivery_id, part,
                   coalesce(sum(n) FILTER (WHERE status = 'pending'), 0) AS pending,
                   coalesce(sum(n) FILTER (WHERE status = 'deposited'), 0) AS deposited,
                   coalesce(sum(n) FILTER (WHERE status = 'sending'), 0) AS sending,
                   coalesce(sum(n) FILTER (WHERE status = 'sent'), 0) AS sent,
                   coalesce(sum(n) FILTER (WHERE status = 'deferred'), 0) AS deferred,
                   coalesce(sum(n) FILTER (WHERE status = 'failed'), 0) AS failed,
                   coalesce(sum(n) FILTER (WHERE status = 'in_doubt'), 0) AS in_doubt,
                   coalesce(sum(n) FILTER (WHERE status = 'cancelled'), 0) AS cancelled,
                   coalesce(sum(n) FILTER (WHERE status IN ('cancelled', 'failed')
                                             AND copy = 'accepted'), 0) AS archived_not_sent,
                   coalesce(sum(n) FILTER (WHERE copy = 'none' OR needless), 0) AS copies_none,
                   coalesce(sum(n) FILTER (WHERE copy = 'waiting' AND NOT needless), 0)
                       AS copies_waiting,
                   coalesce(sum(n) FILTER (WHERE copy = 'accepted'), 0) AS copies_accepted,
                   coalesce(sum(n) FILTER (WHERE copy = 'owed'), 0) AS copies_owed,
                   coalesce(sum(n) FILTER (WHERE copy = 'refused'), 0) AS copies_refused,
                   coalesce(sum(n) FILTER (WHERE copy = 'returned'), 0) AS copies_returned
              FROM (
                    SELECT delivery_id, part, status, copy, count(*)::int AS n
                      FROM new_rows GROUP BY 1, 2, 3, 4
                     UNION ALL
                    SELECT delivery_id, part, status, copy, -count(*)::int
                      FROM old_rows GROUP BY 1, 2, 3, 4
                   ) AS moved
        CROSS JOIN LATERAL (
                    -- A message that ended before its deposit waits for no copy any more.
                    SELECT copy = 'waiting' AND status IN ('failed', 'cancelled') AS needless
                   ) AS judged
             GROUP BY delivery_id, part
           ) AS d
     WHERE p.delivery_id = d.delivery_id AND p.number = d.part;
    RETURN NULL;
END
$$;
CREATE TRIGGER outbox_message_moved
    AFTER UPDATE ON outbox_message
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_keep_tallies();

-- What the engine reads of the other apps' tables: one view for each need.
CREATE VIEW engine_schema AS SELECT version FROM kernel_schemaversion;
CREATE VIEW engine_lineage AS
    SELECT lineage = outbox_current_lineage() AS is_known FROM outbox_lineage;
CREATE VIEW engine_secret AS SELECT name, sealed FROM platform_secret;
CREATE VIEW engine_dkim_key AS SELECT id, domain, selector, sealed FROM platform_dkimkey;
CREATE VIEW engine_route AS
    SELECT name, security, host, port, username, sealed_password, ca, insecure, changed_at,
           connections, per_connection, rate, limited_at
      FROM platform_route;
CREATE VIEW engine_archive AS
    SELECT a.version, a.address, coalesce(p.policy, 'hold') AS policy
      FROM (SELECT 1) AS always
 LEFT JOIN platform_archiveaddress AS a ON a.state = 'active'
 LEFT JOIN platform_archivepolicy AS p ON p.id = 1;
CREATE VIEW engine_file AS SELECT sha256, data FROM mailtemplates_blob;
CREATE VIEW engine_delivery AS
    SELECT id, state, held_route, because, scheduled_at, started_at, valid_until, finished_at
      FROM deliveries_delivery;
CREATE VIEW engine_audit AS SELECT actor, action, object, after FROM kernel_auditline;
-- Deliveries that the brake paused, and not a person, who would know, nor a restore after it.
CREATE VIEW engine_braked AS
    SELECT d.id, d.because
      FROM deliveries_delivery AS d
     WHERE d.state = 'paused'
       AND (SELECT a.action = 'brake'
              FROM kernel_auditline AS a
             WHERE a.object = 'delivery ' || d.id
               AND a.action IN ('brake', 'pause delivery', 'resume delivery')
             ORDER BY a.id DESC LIMIT 1);
CREATE VIEW engine_alert_channel AS SELECT kind, sealed FROM platform_alertchannel;

-- The ledger's figures as metrics (engine/metrics.py): whoever shows metrics reads them here.
CREATE VIEW outbox_figures AS
WITH tally AS (
    SELECT coalesce(sum(pending), 0) AS pending, coalesce(sum(deposited), 0) AS deposited,
           coalesce(sum(sending), 0) AS sending, coalesce(sum(sent), 0) AS sent,
           coalesce(sum(deferred), 0) AS deferred, coalesce(sum(failed), 0) AS failed,
           coalesce(sum(in_doubt), 0) AS in_doubt, coalesce(sum(cancelled), 0) AS cancelled,
           coalesce(sum(copies_none), 0) AS none, coalesce(sum(copies_waiting), 0) AS waiting,
           coalesce(sum(copies_accepted), 0) AS accepted, coalesce(sum(copies_owed), 0) AS owed,
           coalesce(sum(copies_refused), 0) AS refused,
           coalesce(sum(copies_returned), 0) AS returned
      FROM outbox_part
)
SELECT 'letterbook_ledger_messages' AS metric, status.word, status.n::float8 AS value
  FROM tally, LATERAL (VALUES
       ('pending', pending), ('deposited', deposited), ('sending', sending), ('sent', sent),
       ('deferred', deferred), ('failed', failed), ('in_doubt', in_doubt),
       ('cancelled', cancelled)) AS status (word, n)
UNION ALL
SELECT 'letterbook_ledger_copies', status.word, status.n
  FROM tally, LATERAL (VALUES
       ('none', none), ('waiting', waiting), ('accepted', accepted), ('owed', owed),
       ('refused', refused), ('returned', returned)) AS status (word, n)
UNION ALL
SELECT 'letterbook_ledger_deliveries', state, count(*) FROM deliveries_delivery GROUP BY state
UNION ALL
SELECT 'letterbook_ledger_archive_lag_seconds', '',
       coalesce(extract(epoch FROM now() - min(p.dated_at)), 0)
  FROM outbox_part AS p JOIN deliveries_delivery AS d ON d.id = p.delivery_id
 WHERE p.copies_owed > 0
    OR (p.pending > 0 AND p.copies_waiting + p.copies_refused > 0
        AND d.state IN ('sending', 'retrying', 'held'))
UNION ALL
SELECT 'letterbook_ledger_workers', '', count(*)
  FROM outbox_worker WHERE seen_at > now() - interval '10 seconds'
UNION ALL
SELECT 'letterbook_ledger_open_alerts', cause, count(*)
  FROM outbox_alert WHERE closed_at IS NULL GROUP BY cause
UNION ALL
SELECT 'letterbook_ledger_untold_alerts', channel, count(*)
  FROM outbox_alert_news WHERE told_at IS NULL AND trouble IS NOT NULL GROUP BY channel;
