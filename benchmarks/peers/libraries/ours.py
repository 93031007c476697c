"""mnistcore's own kernels, called as its training loop and its ``predict`` call them."""

import numpy as np

from benchmarks.workloads import PIXEL_SCALE
from mnistcore import get_backend, set_num_threads
from mnistcore.kernels.layout import METRICS
from mnistcore.models.network import Network, Predictor
from mnistcore.training.optimizers import make_options, make_state

from . import Job, Peer, Weights


class Mnistcore(Peer):
    """One of our backends, on the raw uint8 images; as "-dense", zeros are multiplied too."""

    note = "raw uint8 images, scaled in each step; train_steps"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        set_num_threads(job.threads)
        case = job.case
        _, backend, *dense = job.library.split("-")
        self._kernels = get_backend(backend)
        self._network = Network(case.layer_sizes, case.activation)
        self._params = np.concatenate([part.ravel() for pair in job.weights for part in pair])
        self._layers = self._network.layers()
        self._options = make_options(
            case.optimizer, batch_size=case.batch_size, scale=PIXEL_SCALE, skip_zeros=not dense
        )
        self._state = make_state(self._options, self._params)
        self._nothing = np.empty(0, np.float32)
        size = self._kernels.workspace_size(self._layers, case.batch_size, len(self._state))
        self._workspace = np.empty(size, np.float32)
        self._metrics = np.zeros(METRICS)
        self._step = 0
        self._predictor: Predictor | None = None  # of the parameters as they are

    def train(self, order: np.ndarray) -> None:
        steps = -(-len(order) // self.job.case.batch_size)
        rates = np.full(steps, self.job.case.learning_rate)
        done = self._kernels.train_steps(
            self.job.images, self.job.labels, self._nothing, order, rates, self._layers,
            self._options, self._step, self._params, self._state, self._nothing,
            self._workspace, self._metrics,
        )  # fmt: skip
        assert done == steps, "training diverged"
        self._predictor = None
        self._step += done

    def predict(self, images: np.ndarray) -> np.ndarray:
        if self._predictor is None:
            self._predictor = self._network.predictor(self._kernels, self._params, PIXEL_SCALE)
        return self._predictor.predict(images)

    def weights(self) -> Weights:
        return self._network.views(self._params)
