"""Writing the entry of a new data set from its files.

    sources         the bytes: downloaded, or read where they are
    seen            what a file was found to hold, in plain values
    looks           which format it is, and which arrays or texts it holds
    tables          the same for CSV
    batches         the same for CIFAR's archives
    names           which split and which field a name speaks of
    drafts          what the entry will say
    spots           where in the manifest's text each value stands
    pages           the manifest's text with the entry in it, every other byte as it was
    proofs          whether it is true, before it is written

`adder.add` and `updater.update` know their order.
"""
