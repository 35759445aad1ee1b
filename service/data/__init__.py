"""Pictures: from folders, tar shards, drawings or sets such as CIFAR to batches on a device."""
