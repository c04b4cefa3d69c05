"""Studies after their search: an overview of a storage, what is wrong with it, two made one, archives and rescue."""
