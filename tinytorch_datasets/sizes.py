"""How does a person read a number of bytes?"""

from __future__ import annotations


def readable(count: int) -> str:
    """Bytes in the unit that keeps one to three digits before the point, 1 kB being 1000 bytes.

    >>> readable(999), readable(317_299), readable(170_498_071)
    ('999 B', '317 kB', '170 MB')
    >>> readable(4_542), readable(11_594_722), readable(999_950)
    ('4.5 kB', '11.6 MB', '1.0 MB')
    """
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            break
    return f"{size:.0f} {unit}" if size >= 99.95 else f"{size:.1f} {unit}"
