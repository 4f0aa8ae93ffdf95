//! Configurations of several files.

use std::fs;

use tempfile::TempDir;

use super::*;

const MAIN: &str = "schema = 1\n[[interface]]\nname = \"eth0\"\n[management]\nallow = [\"192.31.196.1\"]\n";

/// A main file and those of `conf.d`.
fn folder(main: &str, more: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f.toml"), main).unwrap();
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    for (name, text) in more {
        fs::write(folder.path().join("conf.d").join(name), text).unwrap();
    }
    folder
}

fn load_from(folder: &TempDir) -> Result<Loaded, Error> {
    load(&folder.path().join("f.toml"))
}

/// The complaints: file, line, column, message.
fn said(folder: &TempDir) -> Vec<(String, usize, usize, String)> {
    let report = match load_from(folder) {
        Ok(loaded) => loaded.report,
        Err(Error::Invalid(report)) => *report,
        Err(error) => panic!("{error}"),
    };
    let prefix = format!("{}/", folder.path().display());
    let short = |text: &str| text.replace(&prefix, "");
    report.records().into_iter().map(|r| (short(&r.file), r.line, r.column, short(&r.message))).collect()
}

fn place(file: &str, line: usize, column: usize, message: &str) -> (String, usize, usize, String) {
    (file.to_owned(), line, column, message.to_owned())
}

#[test]
fn files_go_on_where_the_one_before_ends() {
    let service = |name: &str, port: u16| {
        format!("schema = 1\n[[service]]\nname = \"{name}\"\nports = [\"tcp/{port}\"]\n")
    };
    let folder = folder(
        &format!("{MAIN}[[service]]\nname = \"a\"\nports = [\"tcp/1\"]\n"),
        &[
            ("20-c.toml", &service("c", 3)),
            ("10-b.toml", &service("b", 2)),
            ("10-b.toml~", "rubbish"),
            (".#d.toml", "rubbish"),
            ("30-more.toml", "management.allow = [\"192.31.196.2\"]\n[daemon]\nmode = \"enforce\"\n"),
            ("readme.txt", "rubbish"),
        ],
    );
    let loaded = load_from(&folder).unwrap();
    let names: Vec<_> =
        loaded.settings.service.iter().map(|service| service.name.as_ref().as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(loaded.settings.management.allow.len(), 2);
    assert_eq!(*loaded.settings.daemon.mode.as_ref(), Mode::Enforce);
    let sources = loaded.sources().to_vec();
    let files: Vec<_> = sources.iter().filter_map(|source| source.path.rsplit('/').next()).collect();
    assert_eq!(files, ["f.toml", "10-b.toml", "20-c.toml", "30-more.toml"]);
    assert_eq!(of_sources(sources.clone()).unwrap().sources(), sources);
}

#[test]
fn what_is_set_twice_is_shown_at_both_places() {
    let sources =
        [("f.toml", "[daemon]\nmode = \"observe\"\n"), ("conf.d/x.toml", "daemon.mode = \"enforce\"\n")];
    let sources = sources.map(|(path, text)| Source { path: path.to_owned(), text: text.to_owned() });
    let main = Source { text: format!("{MAIN}{}", sources[0].text), ..sources[0].clone() };
    let error = of_sources(vec![main, sources[1].clone()]).unwrap_err();
    let wanted = r#"
error: "daemon.mode" is set in two files
 --> conf.d/x.toml:1:15
  |
1 | daemon.mode = "enforce"
  |               ^^^^^^^^^ again here
  |
 ::: f.toml:7:8
  |
7 | mode = "observe"
  |        --------- first here
  |
  = help: remove one; only tables and arrays go on from file to file"#;
    assert_eq!(error.to_string(), wanted.trim_start());
}

#[test]
fn all_files_are_told_about_at_once() {
    let folder = folder(
        &format!("{MAIN}[metrics]\nlisten = 5\n"),
        &[
            ("a.toml", "[[rule]\n"),
            ("b.toml", "schema = 2\n[metrics]\nlisten = \"off\"\n"),
            ("c.toml", "[interface]\nname = \"eth1\"\n"),
            ("d.toml", "# nothing but \u{e4}\n[[service]]\nnam = \"x\"\n"),
        ],
    );
    let mut said = said(&folder);
    assert!(said.iter().any(|(file, line, ..)| (file.as_str(), *line) == ("conf.d/a.toml", 1)), "{said:?}");
    said.retain(|(file, ..)| file != "conf.d/a.toml");
    let wanted = [
        place("f.toml", 7, 10, "expected a string, found an integer"),
        place("conf.d/b.toml", 1, 10, "\"schema\" is set in two files"),
        place("conf.d/b.toml", 3, 10, "\"metrics.listen\" is set in two files"),
        place("conf.d/c.toml", 1, 1, "\"interface\" is set in two files"),
        place("conf.d/d.toml", 2, 1, "\"name\" is missing here"),
        place("conf.d/d.toml", 3, 1, "unknown key \"nam\""),
    ];
    assert_eq!(said, wanted);
}

#[test]
fn names_and_ports_are_unique_in_all_files() {
    let service = "[[service]]\nname = \"a\"\nports = [\"tcp/1\"]\n";
    let said = said(&folder(&format!("{MAIN}{service}"), &[("a.toml", service)]));
    let wanted = [
        place("conf.d/a.toml", 2, 8, "service \"a\" is there twice"),
        place("conf.d/a.toml", 3, 10, "tcp/1 belongs to a service already"),
    ];
    assert_eq!(said, wanted);
}

#[test]
fn files_that_are_none_are_told_with_their_names() {
    let folder = folder(MAIN, &[]);
    let path = |name: &str| folder.path().join("conf.d").join(name);
    fs::create_dir(path("a.toml")).unwrap();
    nix::unistd::mkfifo(&path("b.toml"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let skipped = |name| place("f.toml", 0, 0, &format!("conf.d/{name} is no regular file and not read"));
    assert_eq!(said(&folder), [skipped("a.toml"), skipped("b.toml")]);
    assert!(load_from(&folder).is_ok());
    std::os::unix::fs::symlink("nowhere", path("c.toml")).unwrap();
    fs::write(path("d.toml"), b"# \xff").unwrap();
    fs::write(path("e.toml"), vec![b'#'; source::LARGEST as usize + 1]).unwrap();
    let errors: Vec<_> = said(&folder).into_iter().take(3).collect();
    let wanted = [
        place("conf.d/c.toml", 0, 0, "cannot read conf.d/c.toml: No such file or directory (os error 2)"),
        place("conf.d/d.toml", 1, 3, "invalid UTF-8"),
        place("conf.d/e.toml", 0, 0, "conf.d/e.toml is larger than 1 MiB"),
    ];
    assert_eq!(errors, wanted);
    let Err(error) = load_from(&folder) else { panic!("accepted") };
    assert!(error.to_string().contains("--> "), "{error}");
}

#[test]
fn there_are_bounds_for_all_files_together() {
    let names: Vec<_> = (0..=source::MOST).map(|number| format!("{number:03}.toml")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert!(load_from(&folder(MAIN, &files[1..])).is_ok());
    assert_eq!(said(&folder(MAIN, &files)), [place("conf.d", 0, 0, "more than 64 files in conf.d")]);
    let large = "#".repeat(source::LARGEST as usize);
    let files: Vec<_> = names[..5].iter().map(|name| (name.as_str(), large.as_str())).collect();
    assert!(load_from(&folder(MAIN, &files[1..])).is_ok());
    let wanted = place("conf.d", 0, 0, "the files in conf.d have more than 4 MiB together");
    assert_eq!(said(&folder(MAIN, &files)), [wanted]);
}

#[test]
fn a_folder_that_is_none_is_an_error() {
    let folder = folder(MAIN, &[]);
    let path = folder.path().join("conf.d");
    fs::remove_dir(&path).unwrap();
    assert!(load_from(&folder).is_ok());
    fs::write(&path, "").unwrap();
    let message = "cannot read conf.d: Not a directory (os error 20)";
    assert_eq!(said(&folder), [place("conf.d", 0, 0, message)]);
}
