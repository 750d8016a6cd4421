-- The same refusal over and over: something is wrong with the route or the sender, not with the
-- recipients. A person must look.
WITH braked AS (
    UPDATE engine_delivery AS d
       SET state = 'paused', held_route = NULL, because = %(because)s
     WHERE d.id = %(delivery)s AND d.state IN ('sending', 'retrying')
 RETURNING d.id
)
INSERT INTO engine_audit (actor, action, object, after)
     SELECT 'letterbook', 'brake', 'delivery ' || id, jsonb_build_object('because', %(because)s::text)
       FROM braked
