-- How many images were given once, twice or more often as the same bytes?
-- group_size: inputs with these bytes; from 10 on, sizes are counted together. inputs = group_size x images, except in
-- the last row.
SELECT CASE WHEN n_sources < 10 THEN n_sources::VARCHAR ELSE '10 or more' END AS group_size, count(*) AS images,
       sum(n_sources)::BIGINT AS inputs, count(*) FILTER (kept) AS kept
FROM images
GROUP BY least(n_sources, 10), group_size
ORDER BY least(n_sources, 10)
