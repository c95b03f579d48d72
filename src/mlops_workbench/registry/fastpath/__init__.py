"""From a fitted scikit-learn model to a plan that the runtime evaluates with NumPy alone, and the proof that it may."""


class NotCovered(Exception):
    """The model has a part that no plan can say; its words are the reason that people see."""
