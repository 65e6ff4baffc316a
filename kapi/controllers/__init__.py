"""Controllers, one folder each: observe through informers, plan purely, act through the client.

Must not: read a clock or do I/O inside a `plan` function, or write objects they do not own.
"""
