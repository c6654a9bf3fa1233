//! The Unix things that every adapter needs, once.
