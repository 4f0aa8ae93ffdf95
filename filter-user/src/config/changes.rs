//! What differs between two configurations, knob by knob.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// All differences; tables with names (services, rules, interfaces) are compared by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Changes {
    /// Tables with names that only the new one has.
    pub added: Vec<Item>,
    /// Tables with names that only the old one has.
    pub removed: Vec<Item>,
    /// Tables with names that are in another order now.
    pub reordered: Vec<Order>,
    /// Knobs with another value, those of tables with names that both have among them.
    pub settings: Vec<Setting>,
}

/// A table with a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Item {
    /// `service`, `rule`, `interface`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Tables of a kind in their new order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Order {
    /// `service`, `rule`, `interface`.
    pub kind: String,
    /// Their names.
    pub names: Vec<String>,
}

/// A knob with another value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Setting {
    /// Where: `daemon.mode`, `service[web].syn.on`.
    pub path: String,
    /// What was there; null: nothing.
    pub old: Value,
    /// What is there now; null: nothing.
    pub new: Value,
}

impl Changes {
    /// Between two [`super::Effective::config`]s.
    #[must_use]
    pub fn between(old: &Value, new: &Value) -> Self {
        let mut changes = Self::default();
        changes.table(old, new, "");
        changes
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn table(&mut self, old: &Value, new: &Value, path: &str) {
        let empty = Map::new();
        let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
        let gone = old.keys().filter(|key| !new.contains_key(*key));
        for key in new.keys().chain(gone) {
            let dot = if path.is_empty() { "" } else { "." };
            let of = |table: &Map<String, Value>| table.get(key).cloned().unwrap_or_default();
            self.value(&of(old), &of(new), key, &format!("{path}{dot}{key}"));
        }
    }

    fn value(&mut self, old: &Value, new: &Value, key: &str, path: &str) {
        if old.is_object() || new.is_object() {
            self.table(old, new, path);
        } else if has_tables(old) || has_tables(new) {
            self.named(old, new, key, path);
        } else if old != new {
            self.settings.push(Setting { path: path.to_owned(), old: old.clone(), new: new.clone() });
        }
    }

    fn named(&mut self, old: &Value, new: &Value, kind: &str, path: &str) {
        let (old, new) = (names(old), names(new));
        let find = |list: &[(String, Value)], name: &str| {
            list.iter().find(|(known, _)| known == name).map(|(_, table)| table.clone())
        };
        let item = |name: &String| Item { kind: kind.to_owned(), name: name.clone() };
        for (name, table) in &new {
            match find(&old, name) {
                Some(before) => self.table(&before, table, &format!("{path}[{name}]")),
                None => self.added.push(item(name)),
            }
        }
        self.removed
            .extend(old.iter().map(|(name, _)| name).filter(|name| find(&new, name).is_none()).map(item));
        let common = |list: &[(String, Value)], other: &[(String, Value)]| {
            let known = |name: &&String| find(other, name).is_some();
            list.iter().map(|(name, _)| name).filter(known).cloned().collect::<Vec<_>>()
        };
        if common(&old, &new) != common(&new, &old) {
            let names = new.into_iter().map(|(name, _)| name).collect();
            self.reordered.push(Order { kind: kind.to_owned(), names });
        }
    }
}

fn has_tables(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().any(Value::is_object))
}

fn names(list: &Value) -> Vec<(String, Value)> {
    let name = |table: &Value| table["name"].as_str().unwrap_or_default().to_owned();
    list.as_array().into_iter().flatten().map(|table| (name(table), table.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_with_names_are_compared_by_name() {
        let service = |name: &str, on: u32| json!({ "name": name, "syn": { "on": on } });
        let old = json!({ "daemon": { "mode": "observe" }, "service": [service("a", 1), service("b", 2), service("c", 3)] });
        let new = json!({ "daemon": { "mode": "enforce" }, "service": [service("c", 3), service("d", 4), service("b", 5)] });
        let changes = Changes::between(&old, &new);
        let item = |name: &str| Item { kind: "service".to_owned(), name: name.to_owned() };
        assert_eq!((changes.added, changes.removed), (vec![item("d")], vec![item("a")]));
        assert_eq!(changes.reordered[0].names, ["c", "d", "b"]);
        let settings: Vec<_> = changes.settings.iter().map(|setting| setting.path.as_str()).collect();
        assert_eq!(settings, ["daemon.mode", "service[b].syn.on"]);
        assert!(Changes::between(&old, &old).is_empty());
    }

    #[test]
    fn empty_and_missing_lists_are_compared() {
        let (none, some) = (json!({ "rule": [] }), json!({ "rule": [{ "name": "r" }], "allow": ["a"] }));
        let changes = Changes::between(&none, &some);
        assert_eq!((changes.added.len(), changes.settings.len()), (1, 1));
        assert_eq!(Changes::between(&some, &none).removed.len(), 1);
        assert_eq!(Changes::between(&Value::Null, &some).added.len(), 1);
    }
}
