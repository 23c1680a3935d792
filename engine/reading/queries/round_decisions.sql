-- Was each round of refinement accepted, and what did the gate see?
-- A refused round changed nothing.
-- `agreement`: F1 of the student that agrees least with the labels of images that it was not trained on. `dropped`,
-- `relabelled`, `added`, `changed`: shares of the regions that could change. `reasons`: number of reasons to refuse it.
-- Null: not measured, or not kept with a release. The query round_reasons has the sentences.
SELECT "round", CASE WHEN accepted THEN 'accepted' ELSE 'refused' END AS decision,
       round(measures['agreement'], 3) AS agreement, round(measures['changed'], 4) AS changed,
       round(measures['dropped'], 4) AS dropped, round(measures['relabelled'], 4) AS relabelled,
       round(measures['added'], 4) AS added, round(measures['texts changed'], 4) AS texts_changed,
       list_sum(map_values(changes))::BIGINT AS changes,
       len(reasons) AS reasons, len(alarms) AS alarms
FROM rounds
ORDER BY "round"
