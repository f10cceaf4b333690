"""Environmental context: weather, mood, device, whatever the events of a log come with."""

from crossfade.context.base import MaskedEncoder


class EnvironmentContext(MaskedEncoder):
    """Columns of an `crossfade.features.environment.EnvironmentSchema` to a vector.

    Args:
        n_columns: ``len(schema.names)``; 1 or more.
        hidden: Width of the hidden layer.
        output_dim: Width of the vector.
    """

    def __init__(self, n_columns: int, hidden: int = 32, output_dim: int = 16) -> None:
        super().__init__(n_columns, hidden, output_dim)
