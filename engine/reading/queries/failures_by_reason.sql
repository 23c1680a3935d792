-- What could not be done: how many inputs and images failed, by component and reason, with one error as an example?
SELECT component, reason, count(DISTINCT coalesce(image_id, uri)) AS number, min(error) AS example
FROM failures
WHERE reason <> 'skipped' -- counted with the failure they were skipped for
GROUP BY component, reason
ORDER BY number DESC, component, reason
