-- How long is the tail of labels: how few of them have half of the kept object regions, and how many have only one?
-- Labels that are '' are left out.
WITH counted AS (
    SELECT label, count(*) AS regions FROM kept.regions WHERE kind = 'object' AND label <> '' GROUP BY label
),
ranked AS (
    SELECT regions, row_number() OVER (ORDER BY regions DESC, label) AS rank, sum(regions) OVER () AS total,
           sum(regions) OVER (ORDER BY regions DESC, label) AS so_far
    FROM counted
)
SELECT count(*) AS labels, coalesce(sum(regions), 0)::BIGINT AS regions,
       round(sum(regions) FILTER (rank <= 10) / sum(regions), 4) AS share_of_ten_commonest,
       min(rank) FILTER (2 * so_far >= total) AS labels_with_half,
       count(*) FILTER (regions = 1) AS labels_with_one,
       round(count(*) FILTER (regions = 1) / nullif(count(*), 0), 4) AS share_of_labels_with_one,
       round(sum(regions) FILTER (rank > 100) / sum(regions), 4) AS share_beyond_rank_100
FROM ranked
HAVING count(*) > 0
