-- On which images or inputs did each component fail, for example?
-- Three of each component and reason, in the order of their URIs. Images that a node skipped after a failure are left
-- out.
SELECT component, reason, parse_filename(uri) AS file, image_id, attempts, left(error, 300) AS error
FROM failures
WHERE reason <> 'skipped'
QUALIFY row_number() OVER (PARTITION BY component, reason ORDER BY uri, image_id, error) <= 3
ORDER BY component, reason, uri, image_id, error
LIMIT 60
