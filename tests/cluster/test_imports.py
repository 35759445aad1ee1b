"""What processes import before they begin: each library costs a second or two."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_driver_checks_its_data_and_starts_its_workers_without_torch(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, "pipelines")
import imagenet
from service.config.loading import load
from service.models.resolution import resolved_run
few = ["data.train_pictures=20", "data.evaluation_pictures=10", "data.picture_size=16"]
pipeline = imagenet.PIPELINE
config = resolved_run(load(pipeline.schema, [pipeline.default], few))
facts = pipeline.application.check(config, Path({str(tmp_path)!r}))
assert facts.samples_per_epoch == 20
import service.cluster.launch
assert not {{"ray", "mlflow", "torch"}} & set(sys.modules)
import service.cluster.ray_run
sys.exit("torch" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_a_worker_that_needs_no_policy_does_without_torchvision() -> None:
    program = """
import sys
import service.classification.task
from service.classification.mixing import Mixing
from service.config.data import PicturesConfig
from service.config.optimization import MixingConfig
from service.data.augmentation import TrainingView
TrainingView(PicturesConfig())
Mixing(MixingConfig(), classes=10)
sys.exit("torchvision" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
