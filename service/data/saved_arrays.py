"""Files of arrays that are made again when they are damaged."""

import tokenize
import zipfile

UNUSABLE = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    EOFError,
    RuntimeError,
    TypeError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
)
"""What `numpy.load` raises for a damaged archive, found by changing each of a file's bits, and what
arrays of other types and shapes lead to."""
