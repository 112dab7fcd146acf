//! The pages.
//!
//! A handler does four things: it parses, lets a service authorise, calls one service, renders. What a page
//! shows is a type in [`view`], filled in `pages/`, drawn by the template of the same name. Nothing here
//! reads the database or decides who may do what: that is done once, in `services`, for pages and API alike.

pub mod ansi;
pub mod assets;
pub mod view;
pub mod words;
