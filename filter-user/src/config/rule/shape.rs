//! A knob as everything sees it that is generated from the schema: docs, JSON Schema, `config show`.

use std::ops::RangeInclusive;

use serde_json::Value;

/// A knob.
#[derive(Clone, Debug)]
pub struct Knob {
    /// Its key.
    pub name: &'static str,
    /// What it does.
    pub help: String,
    /// What it accepts, for people.
    pub accepts: String,
    /// What it accepts, for programs.
    pub shape: Shape,
    /// What holds when it is absent.
    pub absent: Absent,
}

/// What a value looks like in the file.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A string; whatever is accepted matches the pattern (ECMA 262), not the other way round.
    Text(Option<&'static str>),
    /// One of these strings.
    Choice(Vec<&'static str>),
    /// A whole number.
    Number(RangeInclusive<u32>),
    /// A power of two.
    PowerOfTwo(RangeInclusive<u32>),
    /// A boolean.
    Switch,
    /// A table of these knobs.
    Table(Vec<Knob>),
    /// An array.
    List(Box<Shape>),
    /// One value, or an array of them.
    OneOrMore(Box<Shape>),
}

/// What holds when a knob is absent.
#[derive(Clone, Copy, Debug)]
pub enum Absent {
    /// An error.
    Required,
    /// This value, as it is written without quotes.
    Value(&'static str),
    /// No value, which means this.
    Means(&'static str),
    /// An empty array.
    Empty,
    /// The defaults of a table's knobs.
    Inner,
}

impl Knob {
    /// The knobs of a table, or of each in an array of tables.
    #[must_use]
    pub fn children(&self) -> Option<&[Self]> {
        match &self.shape {
            Shape::Table(knobs) => Some(knobs),
            Shape::List(inner) => match &**inner {
                Shape::Table(knobs) => Some(knobs),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value that holds when it is absent; null: none does.
    #[must_use]
    pub fn default_value(&self) -> Value {
        match self.absent {
            Absent::Required | Absent::Means(_) | Absent::Inner => Value::Null,
            Absent::Empty => Value::Array(Vec::new()),
            Absent::Value(raw) => match self.shape {
                Shape::Text(_) | Shape::Choice(_) => raw.into(),
                _ => serde_json::from_str(raw).unwrap_or_default(),
            },
        }
    }

    /// The same for the docs.
    #[must_use]
    pub fn default_text(&self) -> String {
        match self.absent {
            Absent::Required => "required".to_owned(),
            Absent::Means(meaning) => meaning.to_owned(),
            Absent::Inner => String::new(),
            Absent::Empty | Absent::Value(_) => format!("`{}`", self.default_value()),
        }
    }
}
