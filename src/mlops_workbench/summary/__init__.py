"""What a model's rows look like, in a form that adds up: the reference made at registration, and windows of production.

Read by all: the registry makes the reference, the runtime counts windows against it, monitoring sums them.
Imports NumPy and the manifest only, since the runtime has both.
"""
