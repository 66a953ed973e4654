"""What is wrong with a mixture: signs of illness, each with a threshold that a theorem sets."""

from .choice import Choice
from .diagnosis import Diagnosis, Health, Unanswered
from .examine import doctor, examine
from .patient import Charts, Expert, Gate, Local, Oracle, Patient

__all__ = [
    "Charts",
    "Choice",
    "Diagnosis",
    "Expert",
    "Gate",
    "Health",
    "Local",
    "Oracle",
    "Patient",
    "Unanswered",
    "doctor",
    "examine",
]
