"""Notebooks run by papermill: parameters, verdicts, environments, reproduction."""
