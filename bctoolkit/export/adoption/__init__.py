"""Adopting a model file made elsewhere: read, given the pre- and postprocessing it lacks, compared and sealed."""
