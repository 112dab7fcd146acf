//! Use cases, told in order: no HTTP, no SQL. Pages, the API and loops call these and nothing below them.
