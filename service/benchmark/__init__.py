"""Ours and its peer, measured in alternation: timing, records, and the table made of them."""
