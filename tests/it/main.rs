//! The outer ring: the built binary against a real engine and a real registry.
