//! CrowdSec's local API: `/v1/decisions/stream?startup=true` answers `{"new": [..], "deleted": [..]}`, `/v1/decisions` an array; `null`
//! stands for none.
//!
//! A bouncer takes `deleted` off what it has and adds `new`. An answer is taken as the whole here, so that there is nothing to take off but
//! decisions that are in both, by their number.

use std::{collections::HashSet, fmt, io::BufRead};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{carried, document};
use crate::feed::{
    Fault, Limits,
    entries::{Place, Sink},
};

#[derive(Deserialize)]
struct Decision {
    id: Option<i64>,
    scope: Option<String>,
    value: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    simulated: Option<bool>,
}

/// Whether a decision is a ban of addresses; what is not said counts as usual.
pub(super) fn is_ban(scope: Option<&str>, kind: Option<&str>, simulated: bool) -> bool {
    let is = |given: Option<&str>, words: &[&str]| {
        given
            .is_none_or(|given| given.is_empty() || words.iter().any(|word| given.eq_ignore_ascii_case(word)))
    };
    is(scope, &["ip", "range"]) && is(kind, &["ban"]) && !simulated
}

pub(super) fn read(text: &mut impl BufRead, sink: &mut Sink<'_>, limits: &Limits) -> Result<bool, Fault> {
    let mut found = Decisions { most: limits.entries, ..Decisions::default() };
    document(text, Document(&mut found))?;
    for (number, decision) in (1..).zip(found.new) {
        let Decision { id, scope, value, kind, simulated } = decision;
        let gone = id.is_some_and(|id| found.deleted.contains(&id));
        let ban = is_ban(scope.as_deref(), kind.as_deref(), simulated.unwrap_or(false));
        match value {
            Some(value) if ban && !gone => sink.entry(&value, Place::Entry(number))?,
            None if ban => sink.bad(Place::Entry(number), "a decision without \"value\"")?,
            _ => sink.other()?,
        }
    }
    Ok(true)
}

#[derive(Default)]
struct Decisions {
    new: Vec<Decision>,
    deleted: HashSet<i64>,
    most: usize,
}

struct Document<'a>(&'a mut Decisions);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("decisions")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(decision) = seq.next_element()? {
            self.0.take(decision).map_err(carried)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut known = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "new" => map.next_value_seed(List { to: self.0, deleted: false })?,
                "deleted" => map.next_value_seed(List { to: self.0, deleted: true })?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            }
            known = true;
        }
        // As in `{"message": "access forbidden"}`.
        if known { Ok(()) } else { Err(serde::de::Error::custom("neither \"new\" nor \"deleted\" in it")) }
    }
}

impl Decisions {
    fn take(&mut self, decision: Decision) -> Result<(), Fault> {
        self.new.push(decision);
        self.fits()
    }

    fn delete(&mut self, decision: &Decision) -> Result<(), Fault> {
        self.deleted.extend(decision.id);
        self.fits()
    }

    fn fits(&self) -> Result<(), Fault> {
        if self.new.len().max(self.deleted.len()) > self.most {
            Err(Fault::TooMany(self.most))
        } else {
            Ok(())
        }
    }
}

struct List<'a> {
    to: &'a mut Decisions,
    deleted: bool,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("decisions or null")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(decision) = seq.next_element::<Decision>()? {
            if self.deleted { self.to.delete(&decision) } else { self.to.take(decision) }.map_err(carried)?;
        }
        Ok(())
    }
}
