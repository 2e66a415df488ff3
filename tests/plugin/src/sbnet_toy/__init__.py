"""The smallest method, refinement, decoder, one-stage method, data set and export format."""
