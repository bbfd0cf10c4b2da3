"""A worker's name. It begins with the way out: what can be known of a message that a lost worker left depends on it."""

IN_APP = "in_app"  # the one way out that ends in the ledger's own database


def worker_name(way_out: str, run_id: str | None, host: str, process: int) -> str:
    """Of one process, while it sends by one way out; no other has it."""
    return f"{way_out}:{run_id or 'deliver'}:{host}:{process}"
