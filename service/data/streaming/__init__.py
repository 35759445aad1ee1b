"""Data sets in an object store, read while training goes on."""
