//! The page of the metrics listener in a real browser, where there is one.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{
    config::Config,
    daemon::METRICS,
    flood::{Flood, Segment, flood_of},
    pair::Family,
    stand::{Stand, wait_for},
};
use nix::sys::signal::Signal;

/// What the browser makes of the page after some seconds; `None` if there is no browser.
fn browsed(stand: &Stand, url: &str, words: &[&str]) -> Result<Option<String>> {
    let home = stand.floodwall.state().with_file_name("browser");
    fs::create_dir_all(&home)?;
    let usual =
        ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"];
    let run = || {
        let mut browser = Command::new("timeout");
        browser.args(["60", "chromium"]).args(usual).arg(format!("--user-data-dir={}", home.display()));
        browser.env("HOME", &home).args(words).arg(url).output().context("chromium")
    };
    let output = stand.pair.server.namespace.run(run)?;
    if output.status.code() == Some(127) {
        eprintln!("note: no chromium, the page is not tested in a browser");
        return Ok(None);
    }
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[test]
fn a_browser_shows_the_flood() -> Result<()> {
    let config = Config { metrics: "page = true".to_owned(), ..Config::default() };
    let stand = Stand::new(&config.also("[detect]\nfloor = 500\nhold = \"2s\""))?;
    let _flood = Flood::start(&stand.pair.client, &flood_of(Segment::Syn, Family::V4, 20_000)?)?;
    let under_attack = || Ok(stand.floodwall.scrape()?.sum("floodwall_attack_active", &[]) > 0.0);
    wait_for("the attack", Duration::from_secs(10), under_attack)?;
    let url = format!("http://127.0.0.1:{METRICS}/");
    let head = stand
        .pair
        .server
        .namespace
        .run(|| Command::new("curl").args(["-si", &url]).output().context("curl"))?;
    let head = String::from_utf8_lossy(&head.stdout).to_lowercase();
    ensure!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    let data = stand.floodwall.get("/page.json")?;
    ensure!(data.contains("cookie_sent") && !data.contains("floodwall.toml"), "{data}");

    let words = ["--virtual-time-budget=9000", "--dump-dom"];
    let Some(dom) = browsed(&stand, &url, &words)? else { return Ok(()) };
    // The browser's clock runs ahead here, so that a rate may be that of a moment without a packet.
    for word in [">under attack<", ">cookie_sent<", "<polyline", "#1 web", "/24</td>", "enforce, revision 1"]
    {
        ensure!(dom.contains(word), "{word}: {dom}");
    }
    if std::env::var_os("FLOODWALL_DRAW").is_some() {
        let picture = concat!("--screenshot=", env!("CARGO_MANIFEST_DIR"), "/../docs/page.png");
        browsed(&stand, &url, &[picture, "--virtual-time-budget=240000", "--window-size=1100,900"])?;
    }
    Ok(())
}

#[test]
fn nobody_gets_a_page_who_has_not_asked_for_one() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    for path in ["/", "/page.json"] {
        let refused = stand.floodwall.get(path).expect_err("no page");
        ensure!(refused.to_string().contains("404"), "{refused:#}");
    }
    // It comes and goes with the configuration.
    for is_on in [true, false] {
        stand.floodwall.configure(&Config { metrics: format!("page = {is_on}"), ..Config::default() })?;
        stand.floodwall.signal(Signal::SIGHUP)?;
        for path in ["/", "/page.json"] {
            wait_for(path, Duration::from_secs(5), || Ok(stand.floodwall.get(path).is_ok() == is_on))?;
        }
    }
    Ok(())
}
