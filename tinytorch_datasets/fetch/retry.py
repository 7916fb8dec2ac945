"""`RetryPolicy`: timeouts, retries and limits of a fetch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """Every limit of a fetch, each with its unit in its name."""

    connect_timeout_s: float = 10.0
    read_timeout_s: float = 15.0  # for each single read: the longest silence, before the first byte and after

    # To the first byte of the body, through all redirects; and the longest time without one, whatever else comes.
    response_timeout_s: float = 30.0

    # Slower than this while another mirror is untried: go on there, keeping what came.
    stall_bytes_per_s: float = 100_000
    stall_window_s: float = 15.0
    # Slower than this and no response is worth waiting for, whoever sends it: 170 MB would take two days.
    drip_bytes_per_s: float = 1_000
    drip_window_s: float = 60.0

    tries: int = 3  # of one mirror, in a row, none of which brought a byte more
    tries_in_all: int = 50  # of one mirror, however much each of them brought
    backoff_first_s: float = 0.5  # doubled from try to try; the true wait is half of it to all of it
    backoff_limit_s: float = 8.0
    retry_after_limit_s: float = 30.0  # a server that asks for more has refused
    redirects: int = 10

    connections_per_host: int = 2
    connections_in_all: int = 4

    lock_notice_after_s: float = 1.0  # a wait shorter than this is not reported
    holder_silence_s: float = 300.0  # a lock holder that makes no progress for so long is not waited for

    poll_s: float = 0.1  # how often a waiting thread looks whether it is cancelled
    cancel_wait_s: float = 1.0  # after Ctrl-C: the longest wait for threads to let go of their files


DEFAULT_RETRY = RetryPolicy()
