"""What comes after the search: retrain, export, quantise, measure again."""

from optnas.deploy.card import ExportedFile, write_card
from optnas.deploy.checkpoint import Facts
from optnas.deploy.model import Deployable, Model, load_model
from optnas.deploy.trained import model_of

__all__ = ["Deployable", "ExportedFile", "Facts", "Model", "load_model", "model_of", "write_card"]
