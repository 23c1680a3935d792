-- How are the kept object regions spread over their labels, from the commonest label to the rarest?
-- Shows the 20 commonest labels, then about 20 of every tenfold of ranks, and the last. share: of all these regions.
-- share_so_far: of the labels up to this rank. label_tail has the totals. Labels that are '' are left out.
WITH counted AS (
    SELECT label, count(*) AS regions, count(DISTINCT image_id) AS images
    FROM kept.regions WHERE kind = 'object' AND label <> '' GROUP BY label
),
ranked AS (
    SELECT row_number() OVER (ORDER BY regions DESC, label) AS rank, label, regions, images,
           regions / sum(regions) OVER () AS share,
           sum(regions) OVER (ORDER BY regions DESC, label) / sum(regions) OVER () AS share_so_far,
           count(*) OVER () AS labels
    FROM counted
)
SELECT rank, label, regions, images, round(share, 6) AS share, round(share_so_far, 6) AS share_so_far
FROM ranked
WHERE rank <= 20 OR rank = labels OR floor(20 * log10(rank)) > floor(20 * log10(rank - 1))
ORDER BY rank
