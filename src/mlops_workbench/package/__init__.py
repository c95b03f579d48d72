"""A registered version as an image: locked wheels, a Dockerfile, a build through the engine's API."""
