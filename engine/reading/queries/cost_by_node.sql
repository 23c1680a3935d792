-- What did each node cost, over all runs?
-- Only what the runs recorded.
-- `worker_seconds`: time in which a worker worked on the node, waiting for its files included; it is not the time of a
-- CPU or GPU. `items`: images, or texts for nodes that parse. `share`: of the worker seconds of all nodes.
SELECT n.node, count(*) AS runs, sum(n.items)::BIGINT AS items, sum(n.failed)::BIGINT AS failed,
       sum(n.skipped)::BIGINT AS skipped, round(sum(n.worker_seconds), 2) AS worker_seconds,
       round(sum(n.items) / nullif(sum(n.worker_seconds), 0), 1) AS items_per_second,
       round(1000 * sum(n.worker_seconds) / nullif(sum(n.items), 0), 2) AS seconds_per_1000,
       round(sum(n.worker_seconds) / nullif(sum(sum(n.worker_seconds)) OVER (), 0), 4) AS share
FROM (SELECT unnest(nodes) AS n FROM runs)
GROUP BY n.node
ORDER BY worker_seconds DESC, n.node
LIMIT 100
