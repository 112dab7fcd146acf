//! The server through its public face.
mod accounts;
mod api;
mod pages;
mod web;
