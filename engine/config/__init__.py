"""Configuration: YAML files, variables, `--set`, the catalog of components, and the check of their options."""
