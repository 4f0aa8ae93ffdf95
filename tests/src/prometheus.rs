//! A real Prometheus in the server's namespace: it scrapes the daemon there, and is asked over its HTTP API.

use std::{
    collections::BTreeMap,
    env, fs,
    process::{Child, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde_json::Value;

use crate::{cleanup::Folder, daemon::get, netns::Namespace, stand::wait_for};

/// Its port. The namespace is ours, so it is free.
const PORT: u16 = 9090;

/// The server. Dropped, it ends and its data goes.
#[derive(Debug)]
pub struct Prometheus {
    namespace: Namespace,
    server: Child,
    _files: Folder,
}

/// A series with its values: moments, seconds since 1970, and what it was then.
#[derive(Clone, Debug)]
pub struct Series {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Values.
    pub points: Vec<(f64, f64)>,
}

impl Prometheus {
    /// Starts it: scrapes and evaluates `rules` every second. `PROMETHEUS` may name the program.
    pub fn start(namespace: &Namespace, rules: &str, target: &str) -> Result<Self> {
        let files = Folder::files()?;
        let at = |name: &str| files.path().join(name);
        fs::write(at("rules.yml"), rules)?;
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\nscrape_configs:\n  \
             - job_name: floodwall\n    static_configs: [{{ targets: [\"{target}\"] }}]\n"
        );
        fs::write(at("prometheus.yml"), config)?;
        let log = fs::File::create(at("log"))?;
        let program = env::var_os("PROMETHEUS").unwrap_or_else(|| "prometheus".into());
        let mut command = namespace.command(program);
        command
            .arg(format!("--config.file={}", at("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{PORT}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let server =
            command.spawn().context("Prometheus comes with its package; PROMETHEUS may name the program")?;
        let prometheus = Self { namespace: namespace.clone(), server, _files: files };
        wait_for("Prometheus' first scrape", Duration::from_secs(20), || {
            let up = prometheus.query("up == 1", now());
            Ok(up.is_ok_and(|series| !series.is_empty()))
        })?;
        Ok(prometheus)
    }

    /// What an expression is at a moment.
    pub fn query(&self, expr: &str, time: f64) -> Result<Vec<Series>> {
        self.series(&format!("query?query={}&time={time:.3}", escaped(expr)))
    }

    /// What it was over time, every `step` seconds.
    pub fn range(&self, expr: &str, from: f64, to: f64, step: f64) -> Result<Vec<Series>> {
        let query = escaped(expr);
        self.series(&format!("query_range?query={query}&start={from:.3}&end={to:.3}&step={step}"))
    }

    fn series(&self, request: &str) -> Result<Vec<Series>> {
        let data = self.api(request)?;
        let result = data["result"].as_array().context("no result")?;
        result.iter().map(series).collect()
    }

    /// The data of an answer of `/api/v1`; its warnings are errors.
    pub fn api(&self, request: &str) -> Result<Value> {
        // HTTP/1.0 has no chunks.
        let (_, body) = get(&self.namespace, PORT, "1.0", &format!("/api/v1/{request}"))?;
        let mut said: Value = serde_json::from_str(&body).with_context(|| body.clone())?;
        ensure!(said["status"] == "success" && said["warnings"].is_null(), "{request}: {body}");
        Ok(said["data"].take())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64()
}

/// A vector's sample has one value, a matrix' many.
fn series(sample: &Value) -> Result<Series> {
    let labels = serde_json::from_value(sample["metric"].clone())?;
    let one = std::slice::from_ref(&sample["value"]);
    let values = sample["values"].as_array().map_or(one, Vec::as_slice);
    let points = values.iter().map(|point| {
        let time = point[0].as_f64().context("a time")?;
        Ok((time, point[1].as_str().context("a value")?.parse()?))
    });
    Ok(Series { labels, points: points.collect::<Result<_>>()? })
}

fn escaped(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}
