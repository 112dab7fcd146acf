//! Misfortune on demand: a provider that is away, tokens that end before their time.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::forge::Shared;
use crate::people::Kind;
use crate::provider::Provider;

impl Provider {
    /// Begins or ends an outage: while it lasts, pages, API and git over HTTP answer 503.
    pub fn set_away(&self, away: bool) {
        self.forge.world().side_mut(self.kind).away = away;
    }

    /// Ends every access token that is valid now, as if its time were over. Refresh tokens stay good. Says how many.
    pub fn expire_tokens(&self) -> usize {
        let now = self.forge.now();
        let mut world = self.forge.world();
        let valid = world
            .side_mut(self.kind)
            .tokens
            .iter_mut()
            .filter(|token| token.valid(now));
        valid.map(|token| token.expires_at = Some(now)).count()
    }

    /// How many refresh tokens were presented so far, and how many of them were refused.
    pub fn refreshes(&self) -> (u64, u64) {
        let world = self.forge.world();
        let side = world.side(self.kind);
        (side.refreshes, side.refreshes_refused)
    }
}

/// The layer around a provider's routes.
pub(crate) async fn outage(
    State((forge, kind)): State<(Shared, Kind)>,
    request: Request,
    next: Next,
) -> Response {
    if forge.world().side(kind).away {
        return (StatusCode::SERVICE_UNAVAILABLE, "We'll be back soon").into_response();
    }
    next.run(request).await
}
