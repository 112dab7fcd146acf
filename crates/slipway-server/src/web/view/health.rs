//! What is wrong with a source repository, or with what was made there, as pages show it.

use askama::Template;

use super::{Act, Icon, When};

/// Something that is wrong, and what puts it right.
#[derive(Debug, Clone, Template)]
#[template(path = "components/trouble.html")]
pub struct TroubleBox {
    /// `warn` or `bad`.
    pub tone: &'static str,
    /// What is in trouble: "Webhook of acme/app".
    pub title: String,
    /// The stable word.
    pub reason: &'static str,
    /// When a repair was last begun.
    pub repaired: Option<When>,
    /// What is wrong, in a sentence.
    pub detail: String,
    /// What puts it right, in a sentence.
    pub fix: &'static str,
    /// *Repair*, *Check again*.
    pub acts: Vec<Act>,
    /// Where else something can be done: label and address.
    pub links: Vec<(&'static str, String)>,
}

impl TroubleBox {
    fn icon(&self) -> Icon {
        Icon(if self.tone == "bad" { "x-circle" } else { "alert" })
    }
}

impl askama::filters::HtmlSafe for TroubleBox {}
