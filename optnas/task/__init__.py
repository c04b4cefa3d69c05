"""What a network learns: data, training, validation error."""

from optnas.task.checkpoint import Checkpoint, Saved, read_checkpoint, remove_checkpoint
from optnas.task.data import DataSettings, Images, adopt_images, load_images, load_test
from optnas.task.parts import Part
from optnas.task.task import ImageTask, Task
from optnas.task.train import (
    Learned,
    OnEpoch,
    TrainingDiverged,
    TrainSettings,
    evaluate,
    train_images,
)

__all__ = [
    "Checkpoint",
    "DataSettings",
    "ImageTask",
    "Images",
    "Learned",
    "OnEpoch",
    "Part",
    "Saved",
    "Task",
    "TrainSettings",
    "TrainingDiverged",
    "adopt_images",
    "evaluate",
    "load_images",
    "load_test",
    "read_checkpoint",
    "remove_checkpoint",
    "train_images",
]
