//! Single values: strings and integers.

use std::{fmt::Display, ops::Range};

use toml::{Spanned, de::DeValue};

use super::{
    Absent, Complaint, Knob, Rule, Shape,
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
    shape: Shape,
    default: Default,
}

/// A rule for strings.
pub(in crate::config) fn text<T>(
    accepts: impl Display,
    parse: impl Fn(&str) -> Result<T, Complaint> + 'static,
) -> Leaf<T> {
    let (parse, accepts, shape) = (Box::new(parse), accepts.to_string(), Shape::Text(None));
    Leaf { parse, accepts, shape, default: Default::Required }
}

/// A rule for integers.
pub(in crate::config) fn integer<T>(
    accepts: impl Display,
    shape: Shape,
    parse: impl Fn(&str) -> Result<T, Complaint> + 'static,
) -> Leaf<T, true> {
    let (parse, accepts) = (Box::new(parse), accepts.to_string());
    Leaf { parse, accepts, shape, default: Default::Required }
}

impl<T, const INTEGER: bool> Leaf<T, INTEGER> {
    /// With this value when the key is absent.
    #[must_use]
    pub(in crate::config) fn or(mut self, default: &'static str) -> Self {
        self.default = Default::Value(default);
        self
    }

    /// With a pattern that matches whatever is accepted.
    #[must_use]
    pub(in crate::config) fn pattern(mut self, pattern: &'static str) -> Self {
        self.shape = Shape::Text(Some(pattern));
        self
    }

    /// Of these strings.
    #[must_use]
    pub(in crate::config) fn of(mut self, choices: Vec<&'static str>) -> Self {
        self.shape = Shape::Choice(choices);
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
        let absent = match self.default {
            Default::Required => Absent::Required,
            Default::Value(value) => Absent::Value(value),
        };
        let (accepts, shape) = (self.accepts.clone(), self.shape.clone());
        Knob { name: "", help: String::new(), accepts, shape, absent }
    }
}

/// A boolean.
pub(in crate::config) struct Switch {
    default: bool,
}

/// A rule for booleans, false when the key is absent.
pub(in crate::config) fn switch() -> Switch {
    Switch { default: false }
}

/// A rule for booleans, true when the key is absent.
pub(in crate::config) fn switch_on() -> Switch {
    Switch { default: true }
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
        Some(self.default)
    }

    fn knob(&self) -> Knob {
        let absent = Absent::Value(if self.default { "true" } else { "false" });
        let accepts = "`true`, `false`".to_owned();
        Knob { name: "", help: String::new(), accepts, shape: Shape::Switch, absent }
    }
}
