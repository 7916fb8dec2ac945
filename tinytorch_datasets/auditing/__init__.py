"""The parts of an audit, each yielding findings.

    lint            the manifest: what an entry leaves open; the shipped folder: undeclared files, the budget
    local           what is on disk: every file hashed, pickles, cache entries, data set by data set
    arrays          decoded values: against the cached arrays, the declared digests, the checks
    remote          every URL of every file, asked over the network
    mirror_folder   a mirror folder and its SHA256SUMS
    mirror_address  the same at an address
    lockfile        what a lock file recorded

Each finds all that is wrong, and none stops at the first; `audit.audit` runs those that are wanted, in their order.
"""
