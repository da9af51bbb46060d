//! Properties of the worker core.
