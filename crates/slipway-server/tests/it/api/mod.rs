//! The API as a program asks it: who may what, how failures read, lists, creating twice, reading again, and the main
//! job from linking to a queued build.

mod builders;
mod client;
mod document;
mod doors;
mod repeating;
mod story;
