//! What one knob accepts: each is declared once and yields the reader, its errors and its line in the docs.

mod compound;
mod leaf;
mod shape;

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub use self::shape::{Absent, Knob, Shape};
pub(super) use self::{
    compound::{table, tables},
    leaf::{Leaf, integer, switch, switch_on, text},
};
use super::diagnostic::{Diagnostic, Problems};

/// Why a value is refused, and what to write instead.
#[derive(Debug)]
pub struct Complaint {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Complaint {
    /// A complaint.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// Reads the value of one key.
pub trait Rule {
    /// What it becomes.
    type Out;

    /// The value as given; `None` after a complaint.
    fn read(&self, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self::Out>;

    /// The value when the key is absent from the table at `span`; `None` after a complaint.
    fn absent(&self, name: &str, span: Range<usize>, problems: &mut Problems) -> Option<Self::Out>;

    /// As it is in what is generated; the name and the help are the section's to fill in.
    fn knob(&self) -> Knob;
}

/// A table of knobs.
pub trait Section: Sized {
    /// Reads all keys, complains about all that is wrong.
    fn read(table: &DeTable<'_>, span: Range<usize>, problems: &mut Problems) -> Option<Self>;

    /// Its knobs in order.
    fn knobs() -> Vec<Knob>;
}

/// Takes `name` out of `table` by `rule`.
pub(super) fn take<R: Rule>(
    table: &DeTable<'_>,
    name: &str,
    span: Range<usize>,
    rule: &R,
    problems: &mut Problems,
) -> Option<R::Out> {
    match table.get(name) {
        Some(value) => rule.read(value, problems),
        None => rule.absent(name, span, problems),
    }
}

/// Complains about every key that is none of `names`.
pub(super) fn refuse_unknown(table: &DeTable<'_>, names: &[&str], problems: &mut Problems) {
    for key in table.keys().filter(|key| !names.contains(&key.as_ref().as_ref())) {
        let error = Diagnostic::error(key.span(), format!("unknown key {:?}", key.as_ref()));
        problems.push(error.label("not known here").hint(suggest(key.as_ref(), names)));
    }
}

/// "did you mean" when one of `names` is near, else all of them.
pub(super) fn suggest(given: &str, names: &[&str]) -> String {
    // A hostile key may be as long as the file; what is near is short.
    let near = (given.len() < 64).then(|| {
        names
            .iter()
            .map(|name| (strsim::jaro_winkler(given, name), name))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0))
    });
    match near.flatten() {
        Some((_, name)) => format!("did you mean {name:?}?"),
        None => format!("known here: {}", names.join(", ")),
    }
}

/// The TOML type of a value, with its article.
pub(super) fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn wrong_type(value: &Spanned<DeValue<'_>>, wanted: &str, accepts: &str) -> Diagnostic {
    let found = type_of(value.as_ref());
    Diagnostic::error(value.span(), format!("expected {wanted}, found {found}"))
        .label(format!("{found}, not {wanted}"))
        .hint(format!("accepted: {accepts}"))
}

/// Declares a table: its struct, its reader and its docs.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident {
        $( $(#[doc = $help:literal])+ $field:ident: $out:ty = $rule:expr; )*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $help])+ pub $field: $out, )*
        }

        impl $crate::config::rule::Section for $name {
            fn read(
                table: &toml::de::DeTable<'_>,
                span: std::ops::Range<usize>,
                problems: &mut $crate::config::diagnostic::Problems,
            ) -> Option<Self> {
                use $crate::config::rule::{refuse_unknown, take};
                refuse_unknown(table, &[$(stringify!($field)),*], problems);
                $( let $field = take(table, stringify!($field), span.clone(), &$rule, problems); )*
                Some(Self { $( $field: $field?, )* })
            }

            fn knobs() -> Vec<$crate::config::rule::Knob> {
                use $crate::config::rule::{Knob, Rule as _};
                vec![$( Knob {
                    name: stringify!($field),
                    help: concat!($($help),+).trim().to_owned(),
                    ..$rule.knob()
                }, )*]
            }
        }
    };
}
pub(crate) use section;
