//! Single values: strings and integers.

use std::{fmt::Display, ops::Range};

use toml::{Spanned, de::DeValue};

use super::{
    Complaint, Knob, Rule,
    compound::{List, OneOrMore, Optional},
    wrong_type,
};
use crate::config::diagnostic::{Diagnostic, Problems};

enum Default {
    Required,
    Value(&'static str),
}

type Parse<T> = Box<dyn Fn(&str) -> Result<T, Complaint>>;

/// A single value: a string, or an integer where `INTEGER`.
pub(in crate::config) struct Leaf<T, const INTEGER: bool = false> {
    parse: Parse<T>,
    accepts: String,
    default: Default,
}

/// A rule for strings.
pub(in crate::config) fn text<T>(
    accepts: impl Display,
    parse: impl Fn(&str) -> Result<T, Complaint> + 'static,
) -> Leaf<T> {
    Leaf { parse: Box::new(parse), accepts: accepts.to_string(), default: Default::Required }
}

/// A rule for integers.
pub(in crate::config) fn integer<T>(
    accepts: impl Display,
    parse: impl Fn(&str) -> Result<T, Complaint> + 'static,
) -> Leaf<T, true> {
    Leaf { parse: Box::new(parse), accepts: accepts.to_string(), default: Default::Required }
}

impl<T, const INTEGER: bool> Leaf<T, INTEGER> {
    /// With this value when the key is absent.
    #[must_use]
    pub(in crate::config) fn or(mut self, default: &'static str) -> Self {
        self.default = Default::Value(default);
        self
    }

    /// With `None` when the key is absent, which means `meaning`.
    #[must_use]
    pub(in crate::config) fn optional(self, meaning: &'static str) -> Optional<Self> {
        Optional::new(self, meaning)
    }

    /// An array of them, empty when the key is absent.
    #[must_use]
    pub(in crate::config) fn list(self) -> List<Self> {
        List::new(self)
    }

    /// One of them or an array, empty when the key is absent.
    #[must_use]
    pub(in crate::config) fn or_more(self) -> OneOrMore<Self> {
        OneOrMore::new(self)
    }

    fn parse_at(&self, raw: &str, span: Range<usize>, problems: &mut Problems) -> Option<Spanned<T>> {
        match (self.parse)(raw) {
            Ok(value) => Some(Spanned::new(span, value)),
            Err(Complaint { message, hint }) => {
                problems.push(Diagnostic::error(span, message).hint(hint));
                None
            }
        }
    }
}

impl<T, const INTEGER: bool> Rule for Leaf<T, INTEGER> {
    type Out = Spanned<T>;

    fn read(&self, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self::Out> {
        match value.as_ref() {
            DeValue::String(raw) if !INTEGER => self.parse_at(raw, value.span(), problems),
            // Only decimal: `0x10000` and friends would be parsed as text below.
            DeValue::Integer(raw) if INTEGER && raw.radix() == 10 => {
                self.parse_at(raw.as_str(), value.span(), problems)
            }
            _ => {
                let wanted = if INTEGER { "a decimal integer" } else { "a string" };
                problems.push(wrong_type(value, wanted, &self.accepts));
                None
            }
        }
    }

    fn absent(&self, name: &str, span: Range<usize>, problems: &mut Problems) -> Option<Self::Out> {
        match self.default {
            // An empty place: nobody wrote it.
            Default::Value(default) => self.parse_at(default, 0..0, problems),
            Default::Required => {
                let error = Diagnostic::error(span, format!("{name:?} is missing here"));
                problems.push(error.hint(format!("add {name} = ...; accepted: {}", self.accepts)));
                None
            }
        }
    }

    fn knob(&self) -> Knob {
        let default = match self.default {
            Default::Required => "required".to_owned(),
            Default::Value(value) if INTEGER => format!("`{value}`"),
            Default::Value(value) => format!("`\"{value}\"`"),
        };
        Knob { name: "", help: String::new(), accepts: self.accepts.clone(), default, children: vec![] }
    }
}

/// A boolean, false when the key is absent.
pub(in crate::config) struct Switch;

/// A rule for booleans.
pub(in crate::config) fn switch() -> Switch {
    Switch
}

impl Rule for Switch {
    type Out = bool;

    fn read(&self, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<bool> {
        if let DeValue::Boolean(value) = value.as_ref() {
            return Some(*value);
        }
        problems.push(wrong_type(value, "a boolean", "`true`, `false`"));
        None
    }

    fn absent(&self, _: &str, _: Range<usize>, _: &mut Problems) -> Option<bool> {
        Some(false)
    }

    fn knob(&self) -> Knob {
        let (name, help, accepts, default) = ("", String::new(), "`true`, `false`".into(), "`false`".into());
        Knob { name, help, accepts, default, children: vec![] }
    }
}
