"""Reading configuration: YAML text, values, `--set`, the catalog of components and their options."""
