//! What runs inside a machine, as its first process.
