-- How many inputs of each source are images, duplicates of another input, quarantined, or not read yet?
SELECT source, outcome, count(*) AS number, count(*) FILTER (kept) AS kept
FROM inputs
GROUP BY source, outcome
ORDER BY source, number DESC, outcome
