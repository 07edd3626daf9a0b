"""``bifurk doctor``: is this machine set up to serve or to train, and if not, what to do."""

from bifurk_service.commands.doctor.command import doctor, examine
from bifurk_service.commands.doctor.finding import Finding, Severity

__all__ = ["Finding", "Severity", "doctor", "examine"]
