-- Which labels did the rounds add, drop and change into which?
-- Of regions, the 60 commonest; `all_changes` counts all.
-- Leaves out changes of texts and boxes that only moved.
SELECT "round", rule AS change, old_label, new_label, count(*) AS number, count(*) FILTER (kept) AS kept,
       sum(count(*)) OVER ()::BIGINT AS all_changes
FROM changes
WHERE rule IN ('relabelled', 'added', 'dropped')
GROUP BY "round", rule, old_label, new_label
ORDER BY number DESC, "round", rule, old_label, new_label
LIMIT 60
