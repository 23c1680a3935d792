"""The files of a data set: commits, schema versions, and reading from URIs, tars and web hosts."""
