-- What did the rounds change, for example?
-- Five changes of each kind and round, drawn by the md5 of their ids.
-- `before` and `after`: label, or the first 160 characters of the text. `value`: the number that the merge compared with
-- `threshold`.
SELECT "round", rule AS change, left(old_label, 160) AS before, left(new_label, 160) AS after, "value", threshold, kept,
       image_id, coalesce(nullif("new", ''), "old") AS annotation_id
FROM changes
QUALIFY row_number() OVER (PARTITION BY "round", rule ORDER BY md5(concat(image_id, "old", "new")), image_id, "old", "new") <= 5
ORDER BY "round", rule, image_id, annotation_id
LIMIT 300
