//! RandomX behind a safe face: parameters as data.
