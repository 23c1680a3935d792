-- Which sources, nodes and rules does the recipe of the last run have, with which options?
-- One row for each entry of ingest.sources, annotate and filter in the last run's recipe. Nodes are in the order of
-- their names, sources and rules in that of the recipe.
WITH recipe AS (SELECT recipe::JSON AS r FROM runs WHERE json_valid(recipe) ORDER BY run DESC LIMIT 1),
entries AS (
    SELECT 1 AS place, 'source' AS part, e.id AS nth, NULL AS name, e.value AS entry
    FROM recipe, json_each(r -> '$.ingest.sources') e
    UNION ALL
    SELECT 2, 'node', e.id, e.key, e.value FROM recipe, json_each(r -> '$.annotate') e
    UNION ALL
    SELECT 3, 'rule', e.id, NULL, e.value FROM recipe, json_each(r -> '$.filter') e
)
SELECT part,
       coalesce(name, CASE json_type(entry) WHEN 'OBJECT' THEN json_keys(entry)[1] ELSE entry ->> '$' END) AS name,
       CASE WHEN part <> 'node' AND json_type(entry) = 'OBJECT' THEN entry -> ('$."' || json_keys(entry)[1] || '"')
            WHEN json_type(entry) = 'OBJECT' THEN entry END::VARCHAR AS options
FROM entries
ORDER BY place, nth
LIMIT 200
