//! `nft -j list set ..`: every array `elem` at any depth, of strings, prefixes, ranges, and those with a time limit.

use std::{fmt, io::BufRead};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{carried, document};
use crate::feed::{
    Fault,
    entries::{Place, Sink},
};

pub(super) fn read(text: &mut impl BufRead, sink: &mut Sink<'_>) -> Result<bool, Fault> {
    let (mut number, mut found) = (0, false);
    document(text, Walk { sink, number: &mut number, found: &mut found })?;
    if found { Ok(true) } else { Err(Fault::Form("there is no set in it".to_owned())) }
}

/// Anything; elements are taken out of it.
struct Walk<'a, 'l> {
    sink: &'a mut Sink<'l>,
    number: &'a mut u64,
    found: &'a mut bool,
}

impl<'l> Walk<'_, 'l> {
    fn again(&mut self) -> Walk<'_, 'l> {
        Walk { sink: self.sink, number: self.number, found: self.found }
    }
}

/// What a scalar of any kind is to both visitors.
macro_rules! scalars {
    ($self:ident, $what:expr) => {
        fn visit_bool<E: serde::de::Error>($self, _: bool) -> Result<(), E> {
            $what
        }

        fn visit_i64<E: serde::de::Error>($self, _: i64) -> Result<(), E> {
            $what
        }

        fn visit_u64<E: serde::de::Error>($self, _: u64) -> Result<(), E> {
            $what
        }

        fn visit_f64<E: serde::de::Error>($self, _: f64) -> Result<(), E> {
            $what
        }

        fn visit_unit<E: serde::de::Error>($self) -> Result<(), E> {
            $what
        }
    };
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a ruleset")
    }

    scalars!(self, Ok(()));

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self.again())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                // A set without elements still is one.
                "set" | "elem" | "element" => *self.found = true,
                _ => {}
            }
            if key == "elem" {
                map.next_value_seed(Elements { sink: self.sink, number: self.number })?;
            } else {
                map.next_value_seed(self.again())?;
            }
        }
        Ok(())
    }
}

/// Elements of a set.
struct Elements<'a, 'l> {
    sink: &'a mut Sink<'l>,
    number: &'a mut u64,
}

#[derive(Deserialize)]
struct Prefix {
    addr: String,
    len: u8,
}

impl Elements<'_, '_> {
    fn place(&mut self) -> Place {
        *self.number += 1;
        Place::Entry(*self.number)
    }

    fn no_address<E: serde::de::Error>(mut self) -> Result<(), E> {
        let place = self.place();
        self.sink.bad(place, "no address").map_err(carried)
    }
}

impl<'de> DeserializeSeed<'de> for Elements<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element of a set")
    }

    scalars!(self, self.no_address());

    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<(), E> {
        let place = self.place();
        self.sink.entry(text, place).map_err(carried)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { sink, number } = self;
        while seq.next_element_seed(Elements { sink: &mut *sink, number: &mut *number })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "elem" | "val" => {
                    map.next_value_seed(Elements { sink: &mut *self.sink, number: &mut *self.number })?;
                }
                "prefix" => {
                    let Prefix { addr, len } = map.next_value()?;
                    let place = self.place();
                    self.sink.entry(&format!("{addr}/{len}"), place).map_err(carried)?;
                }
                "range" => {
                    let [first, last]: [String; 2] = map.next_value()?;
                    let place = self.place();
                    self.sink.range(&first, &last, place).map_err(carried)?;
                }
                "concat" | "map" | "set" => {
                    map.next_value::<IgnoredAny>()?;
                    let place = self.place();
                    self.sink.bad(place, "no address").map_err(carried)?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}
