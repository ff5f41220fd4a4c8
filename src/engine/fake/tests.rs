//! Tests of what only the fake can do.
