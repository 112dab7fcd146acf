//! What every aggregate's file begins with.

/// Declares an aggregate: `aggregate!(/// Builds… Builds, builds);` makes `Builds<'_>` and the methods
/// `Store::builds` (to ask) and `Tx::builds` (to ask and to change).
macro_rules! aggregate {
    ($(#[$doc:meta])* $name:ident, $method:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<'a>(pub(crate) $crate::tx::Db<'a>);

        impl $crate::Store {
            /// To ask. Changing needs a [`Tx`](crate::Tx).
            pub fn $method(&self) -> $name<'_> {
                $name(self.db())
            }
        }

        impl $crate::Tx {
            /// To ask and to change.
            pub fn $method(&self) -> $name<'_> {
                $name(self.db())
            }
        }
    };
}
pub(crate) use aggregate;
