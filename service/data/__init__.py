"""Pictures: from folders, indexed tar shards or drawings to batches on a device."""
