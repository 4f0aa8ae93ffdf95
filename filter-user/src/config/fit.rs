//! Whether a valid file fits this host.

use std::sync::Arc;

use super::{Diagnostic, Error, Host, Loaded, Report, compile, diagnostic::Problems, lists};
use crate::{
    daemon::{peer, secrets::Master},
    dataplane::Plan,
};

/// What the file comes to here, with all warnings; or everything that is in the way.
pub fn fit(loaded: &Loaded, host: &Host) -> Result<(Plan, Report), Error> {
    let mut problems = Problems::default();
    key_file(loaded, &mut problems);
    groups(loaded, &mut problems);
    let read = |problems: &mut Problems| Arc::new(lists::read(&loaded.settings.lists, problems));
    let lists = loaded.lists.clone().unwrap_or_else(|| read(&mut problems));
    let plan = compile::plan(&loaded.settings, host, lists, &mut problems);
    loaded.report.diagnostics.iter().for_each(|known| problems.push(known.clone()));
    let report = Report { sources: loaded.report.sources.clone(), diagnostics: problems.into_sorted() };
    match plan {
        Some(plan) => Ok((plan, report)),
        None => Err(Error::Invalid(Box::new(report))),
    }
}

/// Read here and forgotten: a bad one must be told before anything is attached.
fn key_file(loaded: &Loaded, problems: &mut Problems) {
    let Some(path) = &loaded.settings.cookie.key_file else { return };
    if let Err(error) = Master::read(path.as_ref()) {
        let diagnostic = Diagnostic::error(path.span(), format!("{error:#}"));
        problems
            .push(diagnostic.hint("the key file holds 32 to 4096 random bytes, owned by root, mode 0600"));
    }
}

/// Groups of the control socket.
fn groups(loaded: &Loaded, problems: &mut Problems) {
    let daemon = &loaded.settings.daemon;
    for name in [&daemon.group, &daemon.admin_group].into_iter().flatten() {
        if let Err(error) = peer::group(name.as_ref()) {
            let hint = format!("groupadd --system {}, or leave it out", name.as_ref());
            problems.push(Diagnostic::error(name.span(), format!("{error:#}")).hint(hint));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse};

    #[test]
    fn a_missing_key_file_is_told_where_it_is_named() {
        let text = "schema = 1\n[[interface]]\nname = \"x\"\n[cookie]\nkey_file = \"/nonexistent/key\"\n\
                    [daemon]\ngroup = \"root\"\nadmin_group = \"no-such-group\"\n";
        let loaded = parse(Source { path: "f.toml".to_owned(), text: text.to_owned() }).unwrap();
        let Err(Error::Invalid(report)) = fit(&loaded, &Host::default()) else { panic!("fits") };
        let places: Vec<_> = report.records().into_iter().map(|r| (r.line, r.column)).collect();
        assert_eq!(places, [(3, 8), (5, 12), (8, 15)]);
    }
}
