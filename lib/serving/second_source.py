"""Which second captioner a process loads, and with what."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lib.captioning.neighbour_captioner import NeighbourCaptioner
from lib.captioning.pyfunc_captioner import PyfuncCaptioner
from lib.captioning.second_captioner import NEAREST_NEIGHBOURS, SecondCaptioner
from lib.captions.checkpoint_fit import cleaning_for
from lib.lake.pyfunc_models import load_pyfunc
from lib.sections.images import CleaningSettings
from lib.sections.lake import StorageSettings
from model.checkpoint import load_provenance


class SecondSource(NamedTuple):
    """A second captioner by its name, and what nearest neighbours need beside: our model and the lake."""

    dataset: str
    name: str
    setting: str  # what names it, for messages
    checkpoint: Path  # of our model
    cleaning: CleaningSettings  # what is rejected, and where our model does not say how it learned images, all of it
    storage: StorageSettings
    num_threads: int

    def load(self) -> Mapping[str, SecondCaptioner]:
        """The second captioner of the dataset. Raises CaptionlakeError, CheckpointError, EncoderWeightsError."""
        if self.name != NEAREST_NEIGHBOURS:
            return {self.dataset: PyfuncCaptioner(load_pyfunc(self.storage, self.name, self.setting))}
        cleaning = cleaning_for(load_provenance(self.checkpoint), self.cleaning)
        return {self.dataset: NeighbourCaptioner(self.checkpoint, cleaning, self.storage)}

    def is_as_good_as(self, other: "SecondSource") -> bool:
        """Whether the other one would load the same: a model of MLflow does not depend on ours."""
        return self.name == other.name and (self.name != NEAREST_NEIGHBOURS or self.checkpoint == other.checkpoint)
