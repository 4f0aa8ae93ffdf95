//! What services and rules are called; the data path knows their numbers.

use std::path::Path;

use hyper::Method;

use crate::{cmd::client, config::Settings, observe::status::Status};

/// Their names, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// From number 1 on.
    pub services: Vec<String>,
    /// From number 0 on.
    pub rules: Vec<String>,
}

impl Names {
    /// What the daemon on that socket calls them; none if there is no daemon.
    #[must_use]
    pub fn of_daemon(socket: &Path) -> Self {
        let Ok(status) = client::call::<Status>(socket, Method::GET, "/v1/status") else {
            return Self::default();
        };
        // A rule has a line for each of its verdicts.
        let mut rules: Vec<_> = status.rules.into_iter().map(|line| line.rule).collect();
        rules.dedup();
        Self { services: status.daemon.map(|daemon| daemon.services).unwrap_or_default(), rules }
    }

    /// What a file calls them.
    #[must_use]
    pub fn of_settings(settings: &Settings) -> Self {
        Self {
            services: settings.service.iter().map(|service| service.name.as_ref().clone()).collect(),
            rules: settings.rule.iter().map(|rule| rule.name.as_ref().clone()).collect(),
        }
    }

    /// The name of a service, or its number.
    #[must_use]
    pub fn service(&self, number: u32) -> String {
        let name = (number as usize).checked_sub(1).and_then(|index| self.services.get(index));
        name.cloned().unwrap_or_else(|| number.to_string())
    }

    /// The name of a rule, or its number, from 1 on as people count.
    #[must_use]
    pub fn rule(&self, number: u32) -> String {
        self.rules.get(number as usize).cloned().unwrap_or_else(|| (number + 1).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_has_a_number() {
        let names = Names { services: vec!["web".to_owned()], rules: vec!["no".to_owned()] };
        assert_eq!(
            (names.service(1), names.service(2), names.service(0)),
            ("web".into(), "2".into(), "0".into())
        );
        assert_eq!((names.rule(0), names.rule(1)), ("no".into(), "2".into()));
    }
}
