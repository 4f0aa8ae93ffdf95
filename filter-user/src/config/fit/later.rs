//! Files that are read when somebody is told or asked something: what is wrong with them is said now. None keeps the filter from starting.

use std::path::{Path, PathBuf};

use toml::Spanned;

use crate::{
    config::{
        diagnostic::{Diagnostic, Problems},
        schema::{Feed, Settings},
    },
    daemon::{notify, scrape},
    web::{certificates, secret},
};

type File = Option<Spanned<PathBuf>>;

pub(super) fn files(settings: &Settings, problems: &mut Problems) {
    let mut warn = |what: &Trouble, hint: &str| {
        let (span, why) = what.clone();
        problems.push(Diagnostic::warning(span, why).hint(hint));
    };
    for target in &settings.notify {
        for trouble in notify::troubles(target) {
            warn(&trouble, "put it right: until then nobody is told");
        }
    }
    for feed in settings.feed.iter().filter(|feed| feed.enabled) {
        for trouble in feed_files(feed) {
            warn(&trouble, "put it right: until then the feed is not fetched");
        }
    }
    for trouble in scrape::troubles(&settings.metrics) {
        warn(&trouble, "put it right: the daemon does not start like that");
    }
}

/// Where it is named, and what is wrong with it.
pub(crate) type Trouble = (std::ops::Range<usize>, String);

/// What `read` has to say of a file, if it is named.
pub(crate) fn trouble<T, E: ToString>(
    file: &File,
    read: impl FnOnce(&Path) -> Result<T, E>,
) -> Option<Trouble> {
    let file = file.as_ref()?;
    read(file.as_ref()).err().map(|error| (file.span(), error.to_string()))
}

fn feed_files(feed: &Feed) -> impl Iterator<Item = Trouble> {
    [trouble(&feed.key_file, secret), trouble(&feed.ca_file, certificates)].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use crate::config::{Source, parse};

    #[test]
    fn each_file_is_looked_at_before_it_is_needed() {
        let text = "schema = 1\n[[interface]]\nname = 'lo'\n\
            [[notify]]\nname = 'a'\nkind = 'webhook'\nto_file = '/nonexistent/1'\nsign_key_file = '/nonexistent/2'\n\
            key_file = '/nonexistent/3'\nca_file = '/nonexistent/4'\n\
            [[notify]]\nname = 'b'\nkind = 'command'\nto = '/nonexistent/5'\n\
            [[notify]]\nname = 'c'\nkind = 'syslog'\n\
            [[feed]]\nname = 'd'\nsource = 'https://example.org/'\nkey_file = '/nonexistent/6'\nca_file = '/nonexistent/7'\n\
            [[feed]]\nname = 'e'\nsource = 'https://example.org/'\nkey_file = '/nonexistent/no'\nenabled = false\n\
            [metrics]\nusers_file = '/nonexistent/8'\ntls_cert = '/nonexistent/9'\ntls_key = '/nonexistent/no'\n";
        let loaded = parse(Source { path: "f.toml".to_owned(), text: text.to_owned() }).unwrap();
        let mut problems = super::Problems::default();
        super::files(&loaded.settings, &mut problems);
        assert!(!problems.any_error(), "the filter starts without them");
        let said: Vec<_> = problems.into_sorted().into_iter().map(|problem| problem.message).collect();
        assert_eq!(said.len(), 9, "{said:#?}");
        for number in 1..=9 {
            assert!(
                said.iter().any(|why| why.contains(&format!("/nonexistent/{number}"))),
                "{number}: {said:#?}"
            );
        }
        assert!(!said.iter().any(|why| why.contains("/nonexistent/no")), "{said:#?}");
    }
}
