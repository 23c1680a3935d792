-- Was each round of refinement accepted, and what did the gate see? A refused round changed nothing.
-- `agreement`: F1 of the student that agrees least with the labels of images that it was not trained on. `dropped`,
-- `relabelled`, `added`, `changed`: shares of the regions that could change. `why`: the reasons of a refusal, then the
-- alarms, as the gate wrote them. Null: not measured, or not kept with a release.
SELECT "round", CASE WHEN accepted THEN 'accepted' ELSE 'refused' END AS decision,
       round(measures['agreement'], 3) AS agreement, round(measures['changed'], 4) AS changed,
       round(measures['dropped'], 4) AS dropped, round(measures['relabelled'], 4) AS relabelled,
       round(measures['added'], 4) AS added, round(measures['texts changed'], 4) AS texts_changed,
       list_sum(map_values(changes))::BIGINT AS changes,
       array_to_string(list_concat(reasons, list_transform(alarms, lambda a: 'ALARM: ' || a)), ' ') AS why
FROM rounds
ORDER BY "round"
