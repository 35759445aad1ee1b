"""How strong a regulariser is at each depth of a network."""


def linear_decay(block: int, blocks: int, p_l: float) -> float:
    """Returns p_l = 1 − (l/L)(1 − P_L), the probability that block l's branch passes unchanged.

    Deeper blocks are disturbed more: the linear decay rule of stochastic depth (arXiv 1603.09382,
    section 3), which ShakeDrop keeps. The first block is disturbed too: p_1 = 1 − (1 − P_L)/L.

    Args:
        block: l, counted from 1 through all stages; stem and classifier do not count.
        blocks: L, the number of residual blocks.
        p_l: P_L, the probability at the last block, in [0, 1].

    Raises:
        ValueError: The block is outside 1..L, or P_L is outside [0, 1].
    """
    if not 1 <= block <= blocks:
        raise ValueError(f"block must lie in 1..{blocks}, the blocks of the network (got {block})")
    if not 0 <= p_l <= 1:
        raise ValueError(f"p_l is a probability, in [0, 1] (got {p_l})")
    # This form of the rule ends at P_L exactly; the one above may miss it by a rounding error.
    depth = block / blocks
    return (1 - depth) + depth * p_l
