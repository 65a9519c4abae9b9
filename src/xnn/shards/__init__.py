"""[BORDER] Records at rest between owner and cloud: Arrow files, a manifest, no names, no keys."""

from xnn.shards.manifest import Manifest, ShardEntry
from xnn.shards.reader import ShardSet, SplitRecords
from xnn.shards.writer import ShardWriter

__all__ = ["Manifest", "ShardEntry", "ShardSet", "ShardWriter", "SplitRecords"]
