-- What became of all inputs?
-- Every input has one outcome, so the rows above `all inputs` add up to it. An image counts once, under the first input
-- that gave it; further inputs with the same bytes are duplicates. kept, dropped and not judged are images.
-- not usable: no image could be read from it, or a node failed on the image. Leaves out inputs that their source
-- replaced by another version or gives no more, unless their image is still there.
WITH failed AS (SELECT DISTINCT image_id FROM failures WHERE image_id IS NOT NULL),
counted AS (
    SELECT CASE n.outcome WHEN 'image' THEN
               CASE WHEN f.image_id IS NOT NULL OR i.rule = 'failed' THEN 'not usable'
                    WHEN i.kept THEN 'kept' WHEN NOT i.kept THEN 'dropped by a rule' ELSE 'not judged yet' END
               WHEN 'duplicate' THEN 'duplicate' WHEN 'quarantined' THEN 'not usable'
               WHEN 'pending' THEN 'not read yet' ELSE n.outcome END AS outcome,
           count(*) AS number
    FROM inputs n LEFT JOIN images i ON i.image_id = n.image_id LEFT JOIN failed f ON f.image_id = n.image_id
    WHERE n.outcome <> 'earlier'
    GROUP BY ALL
)
SELECT coalesce(outcome, 'all inputs') AS outcome, sum(number)::BIGINT AS number,
       round(sum(number) / (SELECT sum(number) FROM counted), 4) AS share
FROM counted
GROUP BY GROUPING SETS ((outcome), ())
HAVING sum(number) > 0
ORDER BY grouping(outcome), array_position(['kept', 'dropped by a rule', 'not usable', 'duplicate', 'not judged yet',
                                            'not read yet', 'removed'], outcome)
