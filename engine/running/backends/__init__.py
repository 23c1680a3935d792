"""Backends run workers: in this process, in processes of this machine, or as Ray actors. All write the same bytes."""
