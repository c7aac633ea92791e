"""What the Jacobians of a run show: how gradients change with distance, and whether nearby states stay close.

Belongs here: measurements of a model on given inputs. Does not: training, pictures (those are in `graphrec.viz`).
"""

from .flow import GradientFlow
from .gradient_flow import gradient_flow
from .lyapunov import lyapunov_spectrum

__all__ = ["GradientFlow", "gradient_flow", "lyapunov_spectrum"]
