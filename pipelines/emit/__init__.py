"""Stage emit: writes a release. Command `engine verify`: checks one."""
