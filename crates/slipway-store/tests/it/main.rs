//! The store, told as stories on both databases.
mod accounts;
