"""The smallest method, refinement, decoder, data set and export format."""
