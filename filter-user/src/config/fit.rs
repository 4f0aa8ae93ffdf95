//! Whether a valid file fits this host.

pub(crate) mod later;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Diagnostic, Error, Host, Loaded, Report, compile, diagnostic::Problems, lists};
use crate::{
    daemon::{peer, secrets::Master},
    dataplane::{Next, Plan},
};

/// What the file comes to here, with all warnings; or everything that is in the way.
pub fn fit(loaded: &Loaded, host: &Host) -> Result<(Plan, Report), Error> {
    let mut problems = Problems::default();
    key_file(loaded, &mut problems);
    groups(loaded, &mut problems);
    let next = next(loaded, &mut problems);
    let read = |problems: &mut Problems| Arc::new(lists::read(&loaded.settings.lists, problems));
    let lists = loaded.lists.clone().unwrap_or_else(|| read(&mut problems));
    let lists = loaded.feeds.combined(&loaded.settings, host, &lists);
    let mut plan = compile::plan(&loaded.settings, host, lists, &mut problems);
    for interface in plan.iter_mut().flat_map(|plan| &mut plan.interfaces) {
        let frags = interface.frags;
        let Some(wanted) = &mut interface.next else { continue };
        wanted.program = next.get(&wanted.path).cloned();
        if frags && wanted.program.as_ref().is_some_and(|program| !program.frags) {
            problems.push(one_buffer(&interface.name, &wanted.path));
        }
    }
    loaded.report.diagnostics.iter().for_each(|known| problems.push(known.clone()));
    later::files(&loaded.settings, &mut problems);
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

/// The programs that packets go on to, by where they are pinned. One that is not there yet does not keep the filter from starting: at a
/// boot it may well come later.
fn next(loaded: &Loaded, problems: &mut Problems) -> BTreeMap<PathBuf, Next> {
    let mut found = BTreeMap::new();
    for path in loaded.settings.interface.iter().filter_map(|interface| interface.next.as_ref()) {
        match Next::look(path.as_ref()) {
            Ok(Some(next)) => drop(found.insert(path.as_ref().clone(), next)),
            Ok(None) => {
                let warning = Diagnostic::warning(path.span(), "nothing is pinned there");
                let label = "packets that pass go to the stack until there is";
                problems.push(warning.label(label).hint("bpftool prog load FILE PATH type xdp pins one"));
            }
            Err(error) => {
                let hint = "name the pin of an XDP program, owned by root, on a BPF file system";
                problems.push(Diagnostic::error(path.span(), format!("{error:#}")).hint(hint));
            }
        }
    }
    found
}

/// The driver may refuse native XDP for that.
fn one_buffer(interface: &str, path: &Path) -> Diagnostic {
    let message = format!(
        "{} takes frames in one buffer only, and those of {interface} may be longer: so does Floodwall",
        path.display()
    );
    Diagnostic::warning(None, message).hint("load it as xdp.frags, or lower the MTU")
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
    fn a_next_program_that_is_none_is_told_where_it_is_named() {
        let text = "schema = 1\n[[interface]]\nname = \"lo\"\nnext = \"/etc/passwd\"\n";
        let loaded = parse(Source { path: "f.toml".to_owned(), text: text.to_owned() }).unwrap();
        let links = BTreeMap::from([("lo".to_owned(), super::super::host::Link::default())]);
        let host = Host { links, ..Host::default() };
        let Err(Error::Invalid(report)) = fit(&loaded, &host) else { panic!("fits") };
        let [record] = &report.records()[..] else { panic!("{:?}", report.records()) };
        assert_eq!((record.line, record.column), (4, 8));
        assert!(record.message.contains("BPF file system"), "{}", record.message);
    }

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
