"""What all processes of a sweep share."""

from dataclasses import dataclass, replace
from pathlib import Path

from service.cluster.driver_lock import Claim
from service.cluster.job import Application, Facts, Job
from service.cluster.resources import TrialPlan
from service.config.run import RunConfig
from service.config.sweep import PopulationConfig, SweepConfig
from service.config.sweep_files import RECIPES, SweepFile, recipe_tree
from service.search.configurations import Configurations
from service.search.trials import Point
from service.tracking.request import RunRequest, run_key
from service.tracking.searched import short_names, with_searched
from service.training.length import RunLength

SWEEP_TAG = "sweep"
"""Tag of all runs of a sweep: its name."""
TRIAL_TAG = "trial"
"""Tag of a trial's run: its number."""


@dataclass(frozen=True)
class Sweep:
    """A sweep. It can be pickled."""

    config: SweepFile
    """The whole sweep file; it has a name."""
    storage: Path
    """Folder of all runs, absolute."""
    application: Application
    """What is trained."""
    facts: Facts
    """What the application's check found for the recipe."""
    plan: TrialPlan
    """Workers of a trial, trials at the same time."""
    request: RunRequest | None
    """The summary's run in MLflow; None if nothing is recorded there."""
    claim: Claim
    """The driver's right to the sweep and to its trials."""

    @property
    def search(self) -> SweepConfig:
        """The section `sweep`."""
        return self.config.sweep

    @property
    def name(self) -> str:
        """Name of the sweep and of its folder."""
        if self.config.name is None:
            raise ValueError("the configuration of a sweep has a name")
        return self.config.name

    @property
    def folder(self) -> Path:
        """The sweep's folder."""
        return self.storage / self.name

    @property
    def names(self) -> dict[str, str]:
        """Short name of each searched path, as MLflow's params have it."""
        return short_names(self.search.space)

    @property
    def steered(self) -> bool:
        """Whether trials wait after each evaluation to be told how to go on."""
        return isinstance(self.search.scheduler, PopulationConfig)

    @property
    def length(self) -> RunLength:
        """Length of a trial, as the recipe has it."""
        training = self.config.training
        return RunLength(self.facts.samples_per_epoch, training.batch_size, training.duration)

    def configurations(self) -> Configurations:
        """Returns what makes a trial's configuration of its values."""
        return Configurations(RECIPES[self.search.pipeline], recipe_tree(self.config))

    def trial_folder(self, number: int) -> Path:
        """Returns the folder of a trial's run."""
        return self.storage / self.trial_name(number)

    def trial_name(self, number: int) -> str:
        """Returns the name of a trial's run below the storage folder."""
        return f"{self.name}/trial_{number:03d}"

    def job(self, number: int, point: Point) -> Job:
        """Returns a trial's run.

        Args:
            number: The trial's number.
            point: Its values.

        Raises:
            ConfigurationError: The values make no valid configuration, or its data cannot be used.
        """
        config = self.configurations().configure(point)
        config = config.model_copy(update={"name": self.trial_name(number)})
        facts = self._facts(config, point)
        training = config.training
        length = RunLength(facts.samples_per_epoch, training.batch_size, training.duration)
        job = Job(
            config,
            self.storage,
            self.application,
            length,
            None,
            steered=self.steered,
            claim=self.claim,
        )
        return replace(job, request=self._request(job, facts, number, point))

    def _facts(self, config: RunConfig, point: Point) -> Facts:
        if any(path.startswith("data.") for path in point):
            return self.application.check(config, self.storage)
        return self.facts

    def _request(self, job: Job, facts: Facts, number: int, point: Point) -> RunRequest | None:
        if self.request is None:
            return None
        names = self.names
        values = " ".join(f"{names[path]}={_written(value)}" for path, value in point.items())
        return replace(
            self.request,
            key=run_key(self.storage, job.name),
            name=f"#{number:03d} {values}",
            config_yaml=job.settings.config_yaml,
            params=with_searched(self.application.params(job.config), point, names),
            tags={**self.request.tags, SWEEP_TAG: self.name, TRIAL_TAG: f"{number:03d}"},
            datasets=facts.datasets,
        )


def _written(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
