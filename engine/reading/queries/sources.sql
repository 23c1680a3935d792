-- What became of the inputs of each source: images, duplicates of another input, quarantined, not looked at yet?
SELECT source, outcome, count(*) AS number, count(*) FILTER (kept) AS kept
FROM inputs
GROUP BY source, outcome
ORDER BY source, number DESC, outcome
