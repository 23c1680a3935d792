"""Files: those of a data set, their commits and schema versions, and reading from URIs, tars and web hosts."""
