"""Stage emit: write a release, and verify one."""
