"""The parts of an audit, each yielding findings.

    lint            the manifest: what an entry leaves open, what it leans on
    folder          the shipped data as a whole: nothing undeclared, nothing over budget
    stock           what is on disk: every file hashed, every value compared, data set by data set
    values          what files decode to, and the cached arrays
    checks       what values are like: duplicates, balance, constants, empty texts
    pickles         what the pickles among the files ask for
    receipt         what arrays are opened by, made anew and compared
    addresses       every address of every file, asked over the network
    mirrored        a mirror folder, as `mirror` wrote it
    locked          what a lock file recorded

Files' own bytes are compared in `comparing.py`, further below. Each finds all that is wrong, and none stops at the
first; `auditor.audit` knows which are wanted, and in which order.
"""
