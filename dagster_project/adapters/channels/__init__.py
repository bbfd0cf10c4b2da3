"""Ways out of the house: one protocol, one file per channel, one door (`open_channel`) that locks what must be."""

from dagster_project.adapters.channels.base import Channel, Receipt
from dagster_project.adapters.channels.opening import Connections, open_channel

__all__ = ["Channel", "Connections", "Receipt", "open_channel"]
