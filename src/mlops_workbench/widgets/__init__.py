"""What notebooks show: anywidget classes, drawn in the browser from data computed in Python.

Each module here imports anywidget; the core imports a module only when it is to be displayed.
"""
