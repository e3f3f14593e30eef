"""Equal wall time on real data: this search against searches and a fixed model as a good engineer writes them."""
