"""Training service for regularised residual networks on a Ray cluster.

The floors, lowest first: ``config`` and ``regularization``; ``models`` and ``data``; ``training``;
``classification``; ``tracking``; ``cluster``. Imports go down the floors only.
"""
