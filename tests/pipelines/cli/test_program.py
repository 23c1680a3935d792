import subprocess
import sys

import pytest

from pipelines.cli import __main__ as program


@pytest.mark.parametrize(
    ("arguments", "started"),
    [
        ("run", ("auto", "")),
        ("run -c recipe.yaml --runner local --stage filter", ("local", "")),
        ("run --runner=inline", ("inline", "")),
        ("run --address 10.0.0.1:6379", ("auto", "10.0.0.1:6379")),
        ("run --runner", ("auto", "")),
        ("run --dry-run", None),
        ("run --help", None),
        ("status", None),
        ("", None),
    ],
)
def test_only_a_run_starts_the_process_for_workers(
    arguments: str, started: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(program, "start_early", lambda *given: calls.append(given))
    program._start_early(arguments.split())
    assert calls == ([started] if started else [])


def test_that_process_is_started_before_the_engine_is_imported() -> None:
    code = (
        "import sys; sys.argv = ['engine', 'run']; from pipelines.cli import __main__ as program\n"
        "program.start_early = lambda *given: sys.exit(str({'numpy', 'pyarrow', 'typer'} & set(sys.modules)))\n"
        "program.main()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.strip() == "set()"
