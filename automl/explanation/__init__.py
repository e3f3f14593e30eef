"""Why a winner says what it says: where it looked, how sure it was, and where it errs."""

from automl.explanation.breakdown import Breakdown, breakdown
from automl.explanation.calibration import Calibration, calibration
from automl.explanation.predictions import Prediction, predicted

__all__ = ["Breakdown", "Calibration", "Prediction", "breakdown", "calibration", "predicted"]
