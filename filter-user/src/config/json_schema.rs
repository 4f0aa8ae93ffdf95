//! The schema as JSON Schema (draft 7, which editors know), for completion and checks while a file is written.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::{
    rule::{Absent, Knob, Section as _, Shape},
    schema::Settings,
};

/// What the file may say. The reader knows more: what no single value can know, and what a pattern can't say.
#[must_use]
pub fn document() -> Value {
    let Value::Object(table) = table(&Settings::knobs()) else { return Value::Null };
    let mut document = Map::from_iter([
        ("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into()),
        ("title".to_owned(), "Floodwall's configuration".into()),
        ("description".to_owned(), "floodwall.toml and conf.d/*.toml; see docs/config.md.".into()),
    ]);
    document.extend(table);
    document.into()
}

fn table(knobs: &[Knob]) -> Value {
    let required: Vec<_> =
        knobs.iter().filter(|knob| matches!(knob.absent, Absent::Required)).map(|knob| knob.name).collect();
    let properties: Map<_, _> = knobs.iter().map(|knob| (knob.name.to_owned(), property(knob))).collect();
    let mut table = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        table["required"] = required.into();
    }
    table
}

fn property(knob: &Knob) -> Value {
    let mut property = shape(&knob.shape);
    property["description"] = knob.help.as_str().into();
    match knob.absent {
        Absent::Value(_) | Absent::Empty => property["default"] = knob.default_value(),
        Absent::Required | Absent::Means(_) | Absent::Inner => {}
    }
    property
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text(None) => json!({ "type": "string" }),
        Shape::Text(Some(pattern)) => json!({ "type": "string", "pattern": pattern }),
        Shape::Choice(choices) => json!({ "type": "string", "enum": choices }),
        Shape::Number(bounds) => {
            json!({ "type": "integer", "minimum": bounds.start(), "maximum": bounds.end() })
        }
        Shape::PowerOfTwo(bounds) => {
            let powers: Vec<_> =
                (0..u32::BITS).map(|bit| 1 << bit).filter(|power| bounds.contains(power)).collect();
            json!({ "type": "integer", "enum": powers })
        }
        Shape::Switch => json!({ "type": "boolean" }),
        Shape::Table(knobs) => table(knobs),
        Shape::List(inner) => json!({ "type": "array", "items": self::shape(inner) }),
        Shape::OneOrMore(inner) => {
            let inner = self::shape(inner);
            json!({ "anyOf": [inner.clone(), { "type": "array", "items": inner }] })
        }
    }
}
