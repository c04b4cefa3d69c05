"""What a study shows in optuna-dashboard: notes, drawings, learning curves and plots."""

from optnas.report.dashboard.drawing import drawing_of
from optnas.report.dashboard.extras import Extras
from optnas.report.dashboard.follower import Follower
from optnas.report.dashboard.watcher import DashboardWatcher

__all__ = ["DashboardWatcher", "Extras", "Follower", "drawing_of"]
