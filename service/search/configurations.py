"""From a point of the space to the configuration of a trial."""

from pydantic import ValidationError

from service.config.base import Config
from service.config.durations import Duration
from service.config.errors import ConfigurationError
from service.config.fields import chosen_arm
from service.config.loading import validate
from service.config.merging import Tree, merge
from service.config.run import RunConfig
from service.models.resolution import resolved_run
from service.search.trials import Point


class Configurations:
    """The configurations that a recipe becomes when values of it are changed.

    Args:
        schema: Class of the configuration.
        tree: The recipe as a nested mapping, without the section `sweep`; what it leaves out has
            its default.
    """

    def __init__(self, schema: type[RunConfig], tree: Tree) -> None:
        self.schema = schema
        self._tree = merge(schema, schema().model_dump(mode="json"), tree)

    def tree(self, point: Point) -> Tree:
        """Returns the recipe with the values of a point, not yet validated."""
        return merge(self.schema, self._tree, nested(point))

    def configure(self, point: Point) -> RunConfig:
        """Returns the configuration of a point, its network filled in as it is built.

        Raises:
            ConfigurationError: The values are not allowed, or do not fit together.
        """
        return resolved_run(validate(self.schema, self.tree(point)))

    def built(self, point: Point) -> RunConfig | None:
        """Returns what `configure` does, None where it raises; many times as fast where it does."""
        try:
            return resolved_run(self.schema.model_validate(self.tree(point)))
        except (ValidationError, ConfigurationError):
            return None

    def problems(self, point: Point) -> list[str]:
        """Returns a line for each reason why a point has no configuration."""
        try:
            self.configure(point)
        except ConfigurationError as error:
            return str(error).splitlines()
        return []

    def value(self, point: Point, path: str) -> object:
        """Returns what a field holds at a point, as the files write it.

        Raises:
            KeyError: The configuration has no such field there.
        """
        current: type[Config] | None = self.schema
        value: object = self.tree(point)
        for name in path.split("."):
            field = current.model_fields.get(name) if current is not None else None
            if field is None:
                raise KeyError(path)
            # After a change of kind the tree holds what was given; the rest has its default.
            value = (
                value.get(name, field.default) if isinstance(value, dict) else getattr(value, name)
            )
            current = chosen_arm(field, value)
        return str(value) if isinstance(value, Duration) else value


def nested(point: Point) -> Tree:
    """Returns a point as a nested mapping, all fields of a section side by side."""
    tree: Tree = {}
    for path, value in point.items():
        *sections, leaf = path.split(".")
        section = tree
        for name in sections:
            section = section.setdefault(name, {})
        section[leaf] = value
    return tree


def value_of(config: Config, path: str) -> object:
    """Returns what a field of a configuration holds, None where it has no such field."""
    value: object = config
    for name in path.split("."):
        known = isinstance(value, Config) and name in type(value).model_fields
        value = getattr(value, name) if known else None
    return value
