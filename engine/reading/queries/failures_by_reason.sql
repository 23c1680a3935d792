-- How many inputs and images failed, by component and reason, with an error as an example?
SELECT component, reason, count(DISTINCT coalesce(image_id, uri)) AS number, min(error) AS example
FROM failures
WHERE reason <> 'skipped' -- these are counted with the failure that caused the skip
GROUP BY component, reason
ORDER BY number DESC, component, reason
