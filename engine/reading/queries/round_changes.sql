-- What did each round of refinement change, by kind, and how much of it do the rules keep?
-- `number` is what the gate counted, also for a refused round, whose changes are not part of the data set. `kept`: changes
-- whose result the rules keep now; null if the round is not part of these verdicts.
WITH counted AS (
    SELECT "round", accepted, c.key AS rule, c.value AS number
    FROM (SELECT "round", accepted, unnest(map_entries(changes)) AS c FROM rounds)
),
found AS (
    SELECT "round", rule, count(*) FILTER (kept) AS kept FROM changes GROUP BY "round", rule
)
SELECT c."round", CASE WHEN c.accepted THEN 'accepted' ELSE 'refused' END AS decision, c.rule AS change, c.number, f.kept
FROM counted c LEFT JOIN found f ON f."round" = c."round" AND f.rule = c.rule
ORDER BY c."round", c.number DESC, c.rule
