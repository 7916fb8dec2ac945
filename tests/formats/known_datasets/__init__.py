"""Public data sets in their published layouts: entries of a manifest in YAML, and stand-ins for their files.

An entry has what a person would write for the real files, with the real counts. A stand-in has the same names, members,
types and axes, and few samples; it is made by the field's own writers, and keeps what `get` must return of it.
"""
