"""One typed function a verb, in the file of its name. A verb composes rooms; what it does lives there."""
