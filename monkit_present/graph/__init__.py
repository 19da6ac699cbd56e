"""The call graph: what is shown of it, and where it is put. Pure but for `dot_program`."""
