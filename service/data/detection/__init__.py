"""Pictures with objects: data sets on disk, and batches of them on a device."""
