//! `floodwall bench`: every packet meets what it is meant to meet. How fast is not asked here.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{cleanup::Folder, daemon::binary};
use filter_user::{
    bench::{paths::PATHS, report::Report, stats::Quartiles},
    dataplane,
};

fn bench(arguments: &[&str]) -> Result<Output> {
    filter_tests::netns::require_root()?;
    Ok(Command::new(binary()?).args(["bench", "--json", "--quiet"]).args(arguments).output()?)
}

fn report(arguments: &[&str]) -> Result<Report> {
    let output = bench(arguments)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
    serde_json::from_slice(&output.stdout).context("the documented form")
}

fn as_expected(report: &Report) -> Result<()> {
    // Where the kernel can't take a cookie over nobody looks for one in an ACK.
    let exists = |name: &str| name != "ack" || dataplane::kfunc_available();
    let wrong: Vec<_> = report.paths.iter().filter(|row| !row.ok && exists(&row.name)).collect();
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn every_path_meets_its_fate() -> Result<()> {
    let report = report(&["--rounds", "2", "--entries", "20000", "--sources", "1,0,4"])?;
    as_expected(&report)?;
    ensure!(report.paths.len() == PATHS.len() && report.schema == 1, "all of them");
    let runs = |name: &str| report.paths.iter().find(|row| row.name == name).map(|row| row.runs.len());
    ensure!((runs("data"), runs("land")) == (Some(3), Some(1)), "one source cannot be many");
    for name in ["calm", "armed"] {
        ensure!(!Path::new("/sys/fs/bpf").join(name).exists(), "{name} is pinned where others see it");
    }
    Ok(())
}

/// In observe mode, with several buffers, services, lists and limits of its own: a private copy that acts.
#[test]
fn a_configuration_is_measured_as_if_it_were_enforced() -> Result<()> {
    const CONFIG: &str = "schema = 1\n[daemon]\nmode = \"observe\"\n[[interface]]\nname = \"lo\"\n\
        [lists]\nblock = [\"32.0.0.0/3\"]\n\
        [[service]]\nname = \"game\"\nports = [\"udp/4000\", \"tcp/4001-4002\"]\nsyn = { mode = \"challenge\" }\n\
        rate = { per_source = \"10/m\", total = \"1000/s\", per_source_bytes = \"1kB/s burst 64KiB\" }\n";
    let folder = Folder::files()?;
    let file = folder.path().join("f.toml");
    fs::write(&file, CONFIG)?;
    let file = file.to_string_lossy();
    let common = ["--config", file.as_ref(), "--rounds", "1", "--entries", "1024", "--paths"];
    let report = |paths: &str| report(&[common.as_slice(), &[paths]].concat());
    as_expected(&report("bogon,flags,unlisted,unbanned,syn6")?)?;
    // The operator's list holds the sources of these.
    let blocked = report("data,syn")?;
    let met = |row: usize| blocked.paths[row].runs[1].met.first().map(|met| (met.reason.as_str(), met.share));
    ensure!((met(0), met(1)) == (Some(("block_list", 1.0)), Some(("block_list", 1.0))), "{blocked:#?}");
    ensure!(!blocked.paths[0].ok, "data do not pass");
    Ok(())
}

#[test]
fn a_path_that_became_slower_is_exit_code_1() -> Result<()> {
    let folder = Folder::files()?;
    let saved = folder.path().join("saved.json");
    let saved = saved.to_str().context("a path")?;
    report(&["--rounds", "3", "--paths", "bogon", "--save", saved])?;
    let again = report(&["--rounds", "3", "--paths", "bogon", "--baseline", saved, "--tolerance", "1000"])?;
    let comparison = again.comparison.context("a comparison")?;
    ensure!(comparison.changes.len() == 2 && !comparison.slower, "{comparison:#?}");
    let mut old: Report = serde_json::from_slice(&fs::read(saved)?)?;
    for run in old.paths.iter_mut().flat_map(|row| &mut row.runs) {
        run.net_ns = Quartiles::default();
    }
    fs::write(saved, serde_json::to_vec(&old)?)?;
    let output = bench(&["--rounds", "3", "--paths", "bogon", "--baseline", saved])?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    Ok(())
}
