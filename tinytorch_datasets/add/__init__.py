"""Writing the entry of a new data set from its files.

    inputs          the bytes: downloaded, or read where they are
    detect          which format each file is, by asking every format; what none reads, by name
    csv_tables      which rows of tables are names, and how numbers are written
    typed_tables    what tables hold whose columns have types
    tables          which columns are features, texts and labels
    naming          which split and which field a name speaks of
    draft, rows     what the entry will say; its splits by rows
    yaml_edit       the manifest's text with the entry in it, every other byte as it was
    validate        the check that all of it is true, before it is written

`add.add` and `update.update` know their order.
"""
