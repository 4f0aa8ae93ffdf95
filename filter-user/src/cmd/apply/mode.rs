//! `--mode`: the change of one word in the file that an operator would make in an editor.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use tempfile::{Builder, NamedTempFile, TempDir};
use toml_edit::{DocumentMut, Item, Table, value};

use crate::{
    cmd::failure::{Failure, Kind},
    config::{self, Mode, Source},
};

/// A configuration whose mode is to be another.
#[derive(Debug)]
pub(super) struct Edit {
    main: PathBuf,
    sources: Vec<Source>,
    /// Which of them changes, and to what.
    changed: usize,
    text: String,
}

impl Edit {
    /// Reads the files of the configuration at `main` and finds where the mode is said.
    pub(super) fn new(main: &Path, mode: Mode) -> Result<Self> {
        let sources = config::load(main)?.sources().to_vec();
        let says = |source: &Source| source.text.parse::<DocumentMut>().is_ok_and(|text| says_mode(&text));
        // Nowhere: in the main file, then.
        let changed = sources.iter().position(says).unwrap_or(0);
        let text = with_mode(&sources.get(changed).context("no file")?.text, mode)?;
        Ok(Self { main: main.to_owned(), sources, changed, text })
    }

    /// The files as they would be, in a folder beside them that goes with the returned value; and the main one's path.
    pub(super) fn aside(&self) -> Result<(TempDir, PathBuf)> {
        let beside = self.main.parent().context("the file has a folder")?;
        let folder = Builder::new().prefix(".floodwall-").tempdir_in(beside);
        let folder = folder.with_context(|| format!("make a folder in {}", beside.display()))?;
        let mut main = None;
        for (number, source) in self.sources.iter().enumerate() {
            let path = Path::new(&source.path);
            let place = match path.strip_prefix(beside) {
                Ok(place) => folder.path().join(place),
                Err(_) => folder.path().join(path.file_name().context("a file has a name")?),
            };
            fs::create_dir_all(place.parent().unwrap_or(folder.path()))?;
            fs::write(&place, if number == self.changed { &self.text } else { &source.text })?;
            main.get_or_insert(place);
        }
        Ok((folder, main.context("no file")?))
    }

    /// Writes the file; dropped without [`Written::keep`] it is as it was.
    pub(super) fn write(&self) -> Result<Written> {
        let source = &self.sources[self.changed];
        let path = PathBuf::from(&source.path);
        replace(&path, &self.text)?;
        Ok(Written { path, before: Some(source.text.clone()) })
    }
}

/// The file has another mode now.
#[derive(Debug)]
pub(super) struct Written {
    path: PathBuf,
    before: Option<String>,
}

impl Written {
    /// It stays so.
    pub(super) fn keep(mut self) -> PathBuf {
        self.before = None;
        std::mem::take(&mut self.path)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let Some(before) = self.before.take() else { return };
        if let Err(error) = replace(&self.path, &before) {
            let _ = writeln!(
                std::io::stderr(),
                "{} has the new mode and nothing else has: {error:#}",
                self.path.display()
            );
        }
    }
}

/// At once, with the owner and rights that it has.
fn replace(path: &Path, text: &str) -> Result<()> {
    // A link goes on being one.
    let path = path.canonicalize().with_context(|| path.display().to_string())?;
    let with = |error: anyhow::Error| {
        let hint = "run it as root, or set daemon.mode by hand and: floodwall apply";
        let denied = error.downcast_ref::<std::io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            )
        });
        let kind = if denied { Kind::Permission } else { Kind::Failed };
        anyhow::Error::new(Failure::new(kind, format!("write {}: {error:#}", path.display()), hint))
    };
    write(&path, text).map_err(with)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let found = fs::metadata(path)?;
    let mut file = NamedTempFile::new_in(path.parent().context("a file has a folder")?)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(found.permissions())?;
    let (user, group) =
        (std::os::unix::fs::MetadataExt::uid(&found), std::os::unix::fs::MetadataExt::gid(&found));
    std::os::unix::fs::fchown(file.as_file(), Some(user), Some(group))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn says_mode(text: &DocumentMut) -> bool {
    text.get("daemon").and_then(|daemon| daemon.get("mode")).is_some()
}

/// The text with that mode, and nothing else changed.
fn with_mode(text: &str, mode: Mode) -> Result<String> {
    let mut text: DocumentMut = text.parse()?;
    let daemon = text.entry("daemon").or_insert_with(|| Item::Table(Table::new()));
    let place = daemon.as_table_like_mut().context("daemon is a table")?.entry("mode").or_insert(Item::None);
    let around = place.as_value().map(|value| value.decor().clone());
    *place = value(mode.label());
    if let (Some(value), Some(around)) = (place.as_value_mut(), around) {
        *value.decor_mut() = around;
    }
    Ok(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_changes() {
        for (before, after) in [
            (
                "schema = 1\n# about us\n[daemon]\n  mode = \"observe\" # counts\ngroup = \"ops\"\n",
                "schema = 1\n# about us\n[daemon]\n  mode = \"enforce\" # counts\ngroup = \"ops\"\n",
            ),
            ("daemon.mode='observe'\nschema = 1\n", "daemon.mode=\"enforce\"\nschema = 1\n"),
            ("daemon = { mode = \"observe\" }\n", "daemon = { mode = \"enforce\" }\n"),
            (
                "[daemon]\ngroup = \"ops\"\n\n[limits]\n",
                "[daemon]\ngroup = \"ops\"\nmode = \"enforce\"\n\n[limits]\n",
            ),
            ("schema = 1\n", "schema = 1\n\n[daemon]\nmode = \"enforce\"\n"),
        ] {
            assert_eq!(with_mode(before, Mode::Enforce).unwrap(), after, "{before}");
        }
    }

    #[test]
    fn the_file_that_says_it_changes_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("f.toml");
        let more = folder.path().join("conf.d/a.toml");
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        let text = "schema = 1\n[[interface]]\nname = \"eth0\"\n";
        fs::write(&main, text).unwrap();
        fs::write(&more, "daemon.mode = \"observe\"\n").unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let edit = Edit::new(&main, Mode::Enforce).unwrap();
        let (aside, copy) = edit.aside().unwrap();
        assert_eq!(config::load(&copy).unwrap().settings.daemon.mode.as_ref(), &Mode::Enforce);
        let place = aside.path().to_owned();
        drop(aside);
        assert!(!place.exists() && read(&more).contains("observe"));
        drop(edit.write().unwrap());
        assert!(read(&more).contains("observe"), "nothing came of it");
        assert_eq!(edit.write().unwrap().keep(), more);
        assert!(read(&more).contains("enforce") && read(&main) == text);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
    }
}
