//! Reading what columns hold: words, checked texts and JSON, back into their types.

use std::{error::Error, str::FromStr};

use serde::{Serialize, de::DeserializeOwned};

use crate::StoreError;

/// A word, a name or an address; `what` names table and column.
pub(crate) fn parse<T>(what: &'static str, text: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    text.parse()
        .map_err(|source| StoreError::unreadable(what)(Box::new(source)))
}

/// The same, of a column that may be empty.
pub(crate) fn parse_option<T>(what: &'static str, text: Option<&str>) -> Result<Option<T>, StoreError>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    text.map(|text| parse(what, text)).transpose()
}

/// A value that is kept as JSON.
pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::unreadable(what)(Box::new(source)))
}

/// The JSON of a value.
pub(crate) fn to_json<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::unreadable(what)(Box::new(source)))
}
