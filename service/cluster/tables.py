"""The tables that `--list-models` and `--list-regularizers` show.

Making them takes torch, which is imported for those who ask and nobody else.
"""


def models_table() -> str:
    """Returns the networks with their sizes and regularisers."""
    from service.models.catalogue import table

    return table()


def regularizers_table() -> str:
    """Returns the regularisers with their strengths and networks."""
    from service.models.regularizer_catalogue import regularizer_table

    return regularizer_table()
