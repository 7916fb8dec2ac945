"""How is an audit's report told to each that reads it?

    people      a table and sentences, on a terminal
    github      annotations on the manifest's lines, and a summary table
    junit       XML, as test runners write it
    sarif       JSON, as code scanners write it

Each makes text of a `findings.Report`, and writes nothing itself.
"""
