//! Pages as a browser asks for them: signing in, forms and their proof, what is refused and how it is said.

mod browser;
mod main_job;
mod people;
mod refusals;
