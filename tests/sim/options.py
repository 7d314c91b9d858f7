"""What kind of day is this seed? Each draws its own mix of faults: some all, some none."""

from random import Random
from typing import NamedTuple

NS = 10**9


class Options(NamedTuple):
    """Swarm options: chances in parts per million of the thing named, sizes as they say."""

    seed: int
    # The disk, for each operation.
    power_ppm: int
    kill_ppm: int
    error_write_ppm: int
    error_sync_ppm: int
    error_read_ppm: int
    # The disk, for each restart.
    rot_ppm: int
    misdirect_ppm: int
    room: int
    # The process.
    seam_kill_ppm: int
    """At each call of the chain, each commit of a database and each reading of the clock."""
    work_ns_max: int
    # The clock, for each second.
    clock_ppm: int
    # The network, for each request or answer.
    lost_ppm: int
    doubled_ppm: int
    delay_ns_max: int
    # The chain.
    confirmations: int
    chain_lost_ppm: int
    receipt_missing_ppm: int
    forgets_ppm: int
    reorg_ppm: int
    lag_ppm: int
    stranger_ppm: int
    drop_ppm: int
    # People.
    traders: int
    burst_max: int
    action_ns: int
    """How much time one action takes on average: a busy hour or a quiet one."""
    shops: int
    leaving_ppm: int
    garbage_ppm: int
    endpoint_fails_ppm: int
    operator_ppm: int
    chain_seconds: int
    """How often settlement and the watcher look; seldom makes a seed cheap."""
    # Sizes.
    file_size: int
    snapshot_every: int
    # The pool, for each withdrawal in it and each block.
    copied_ppm: int
    hasty_ppm: int
    """Who trades and takes everything out at once."""


def drawn(seed: int) -> Options:
    """Return the options of ``seed``."""
    dice = Random(f"options {seed}")

    def often(ppm: int, share: int = 600_000) -> int:
        """Return a chance up to ``ppm``; 0 in the seeds that do without."""
        return dice.randrange(1, ppm + 1) if dice.randrange(10**6) < share else 0

    return Options(
        seed=seed,
        power_ppm=often(2_000),
        kill_ppm=often(1_000),
        error_write_ppm=often(800, 400_000),
        error_sync_ppm=often(800, 400_000),
        error_read_ppm=often(60_000, 300_000),
        rot_ppm=often(900_000, 300_000),
        misdirect_ppm=often(900_000, 300_000),
        room=dice.choice((1 << 40, 1 << 40, 1 << 40, 500_000, 900_000)),
        seam_kill_ppm=often(600),
        work_ns_max=dice.choice((0, 10**5, 10**6, 10**7, 10**8)),
        clock_ppm=often(120_000, 400_000),
        lost_ppm=often(300_000),
        doubled_ppm=often(500_000, 500_000),
        delay_ns_max=dice.choice((10**5, 10**7, 10**9, 5 * 10**9)),
        confirmations=dice.choice((1, 2, 3, 6, 12)),
        chain_lost_ppm=often(100_000),
        receipt_missing_ppm=often(200_000, 400_000),
        forgets_ppm=often(200_000, 400_000),
        reorg_ppm=often(200_000),
        lag_ppm=often(500_000, 400_000),
        stranger_ppm=often(20_000, 200_000),
        drop_ppm=often(300_000, 500_000),
        traders=dice.randrange(2, 9),
        burst_max=dice.choice((1, 8, 16, 40, 40, 80)),
        action_ns=dice.choice((1, 2, 2, 4, 10, 40)) * 10**6,
        shops=dice.choice((0, 0, 0, 0, 1, 2)),
        leaving_ppm=often(20_000, 400_000),
        garbage_ppm=often(300_000, 700_000),
        endpoint_fails_ppm=often(600_000),
        operator_ppm=often(10_000, 500_000),
        chain_seconds=dice.choice((2, 20, 60, 60, 60)),
        file_size=dice.choice((4_096, 16_384, 65_536, 1 << 20)),
        snapshot_every=dice.choice((0, 100, 400, 1_000)),
        copied_ppm=often(500_000),
        hasty_ppm=often(20_000),
    )
