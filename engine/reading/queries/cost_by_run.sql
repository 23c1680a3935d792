-- What did each run cost?
-- The 50 latest; `runs` counts all.
-- `seconds` is the duration by the clock. `worker_seconds` is the sum over nodes: more than `seconds` if several workers
-- ran at once, less if the run trained models, listed sources or waited, which no node counts.
SELECT run, stage, listed, round(seconds, 2) AS seconds,
       round(coalesce(list_sum(list_transform(nodes, lambda n: n.worker_seconds)), 0), 2) AS worker_seconds,
       coalesce(list_sum(list_transform(nodes, lambda n: n.items)), 0)::BIGINT AS items,
       coalesce(list_sum(list_transform(nodes, lambda n: n.failed)), 0)::BIGINT AS failed,
       ended, coalesce(nullif(error, ''), 'ended well') AS outcome, release, left(command, 200) AS command,
       count(*) OVER () AS runs
FROM runs
ORDER BY run DESC
LIMIT 50
