//! What a configuration comes to: the value of every knob, defaults included, and where each is from.

#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Source,
    diagnostic::Problems,
    joined,
    place::Lines,
    profile,
    rule::{Knob, Section as _, Shape},
    schema::Settings,
};

/// Where a value is from that nobody wrote.
pub const DEFAULT: &str = "default";

/// A configuration with everything that is not written in it. Files that it names are named, not read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Effective {
    /// Its files, in the order in which they are read.
    pub files: Vec<String>,
    /// Its tables; `null` where a knob is not set and its absence means something else than a value.
    pub config: Value,
    /// Path (`service[0].syn.mode`) to `default`, `profile web` or `FILE:LINE`. A list that is written has them entry by entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, String>,
}

impl Effective {
    /// Of files that are valid; of others, what of them makes sense.
    #[must_use]
    pub fn of(sources: &[Source]) -> Self {
        let (mut table, _) = joined(sources, Vec::new(), &mut Problems::default());
        profile::fill_in(&mut table);
        let mut walk = Walk { lines: Lines::of(sources), origins: BTreeMap::new(), profile: String::new() };
        let config = walk.table(Some(&table), &Settings::knobs(), "");
        let files = sources.iter().map(|source| source.path.clone()).collect();
        Self { files, config, origins: walk.origins }
    }
}

struct Walk<'a> {
    lines: Lines<'a>,
    origins: BTreeMap<String, String>,
    /// The profile of the service that it is in.
    profile: String,
}

impl Walk<'_> {
    fn table(&mut self, table: Option<&DeTable<'_>>, knobs: &[Knob], path: &str) -> Value {
        let profile = table.and_then(|table| table.get("profile")).and_then(|name| name.as_ref().as_str());
        if let Some(profile) = profile {
            profile.clone_into(&mut self.profile);
        }
        let dot = if path.is_empty() { "" } else { "." };
        let values = knobs.iter().map(|knob| {
            let written = table.and_then(|table| table.get(knob.name));
            (knob.name.to_owned(), self.knob(written, knob, &format!("{path}{dot}{}", knob.name)))
        });
        values.collect::<Map<_, _>>().into()
    }

    fn knob(&mut self, written: Option<&Spanned<DeValue<'_>>>, knob: &Knob, path: &str) -> Value {
        let Some(written) = written else {
            if let Shape::Table(knobs) = &knob.shape {
                return self.table(None, knobs, path);
            }
            self.origins.insert(path.to_owned(), DEFAULT.to_owned());
            return knob.default_value();
        };
        match (&knob.shape, written.as_ref()) {
            (Shape::Table(knobs), value) => self.table(value.as_table(), knobs, path),
            (Shape::List(inner) | Shape::OneOrMore(inner), DeValue::Array(items)) => {
                let number = |(number, item)| self.item(item, inner, &format!("{path}[{number}]"));
                (0..).zip(items).map(number).collect()
            }
            (Shape::OneOrMore(inner), _) => vec![self.item(written, inner, &format!("{path}[0]"))].into(),
            (shape, _) => self.item(written, shape, path),
        }
    }

    fn item(&mut self, written: &Spanned<DeValue<'_>>, shape: &Shape, path: &str) -> Value {
        if let (Shape::Table(knobs), DeValue::Table(table)) = (shape, written.as_ref()) {
            self.profile.clear();
            return self.table(Some(table), knobs, path);
        }
        let span = written.span();
        let origin = match self.lines.find(span.start) {
            Some((file, line)) if !span.is_empty() => format!("{file}:{line}"),
            _ => format!("profile {}", self.profile),
        };
        self.origins.insert(path.to_owned(), origin);
        scalar(written.as_ref())
    }
}

fn scalar(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => number.as_str().parse::<u64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(value) => (*value).into(),
        _ => Value::Null,
    }
}
