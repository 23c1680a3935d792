-- What were the latest runs: when, how long, which stage, which release, and the command line?
-- The ten latest. ended: UTC, empty for runs of earlier versions of the engine.
SELECT run, ended, stage, round(seconds, 1) AS seconds, listed AS new_inputs, release, error, command
FROM runs
ORDER BY run DESC
LIMIT 10
