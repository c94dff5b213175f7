//! Log format, metrics page, health and shutdown: the same in all binaries.
