//! The server: webhooks in, decisions, the queue, pages and API out.
//!
//! Rooms: `receive` stores deliveries and answers; `services` are the use cases (no HTTP, no SQL);
//! `loops` make true what the database says should be so; `web` and `api` are the two faces, which parse,
//! authorise, call one service and render; `builders` is the face for builders on other hosts; `app` puts it all together.

pub mod api;
pub mod app;
pub mod builders;
pub mod failure;
pub mod fault;
pub mod loops;
pub mod receive;
pub mod services;
pub mod web;
