-- Why did the gate refuse a round, and of what does it warn?
-- As the gate wrote it.
-- `kind`: reason (it refused the round) or alarm (a person should check it). At most 20 of each kind in a round.
SELECT "round", CASE WHEN accepted THEN 'accepted' ELSE 'refused' END AS decision, kind, nth, sentence
FROM (SELECT "round", accepted, 'reason' AS kind, generate_subscripts(reasons, 1) AS nth, unnest(reasons) AS sentence
      FROM rounds
      UNION ALL
      SELECT "round", accepted, 'alarm', generate_subscripts(alarms, 1), unnest(alarms) FROM rounds)
WHERE nth <= 20
ORDER BY "round", kind DESC, nth
