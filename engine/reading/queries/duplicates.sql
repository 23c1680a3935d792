-- Which images were listed more than once, and under which names?
SELECT image_id, n_sources, list_transform(sources, lambda s: s.uri) AS uris, kept
FROM images
WHERE n_sources > 1
ORDER BY n_sources DESC, image_id
LIMIT 100
