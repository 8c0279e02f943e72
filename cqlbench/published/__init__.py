"""Other people's numbers: what was published, our scores beside it, and tables of runs made elsewhere."""
