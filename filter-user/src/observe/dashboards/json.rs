//! Grafana's classic JSON model, and the files around it.

use serde_json::{Value, json};

use super::{BAD, DASHBOARDS, Dashboard, OFF, PLAIN, Panel, Target, View, YES};
use crate::observe::alerts;

/// `schemaVersion` of the model: what Grafana 10 and 11 write, and later ones read.
pub const SCHEMA: u32 = 39;

/// Where dashboards lie once they are installed; Grafana reads them again when they change.
const PROVISIONING: &str = "\
# Copy to /etc/grafana/provisioning/dashboards/, and the dashboards to the path below.
apiVersion: 1
providers:
  - name: floodwall
    folder: Floodwall
    type: file
    disableDeletion: true
    allowUiUpdates: false
    options:
      path: /var/lib/grafana/dashboards/floodwall
";
const DATASOURCE: &str = "\
# Copy to /etc/grafana/provisioning/datasources/ if there is no Prometheus among the data sources yet.
apiVersion: 1
datasources:
  - name: Prometheus
    type: prometheus
    access: proxy
    url: http://127.0.0.1:9090
    isDefault: true
    jsonData:
      timeInterval: 15s
";
const SCRAPE: &str = "\
# For prometheus.yml. The alert rules look for the job \"floodwall\".
rule_files:
  - floodwall.rules.yml
scrape_configs:
  - job_name: floodwall
    static_configs:
      - targets: [\"127.0.0.1:9980\"]
    # With metrics.tls_cert and metrics.users_file:
    # scheme: https
    # tls_config: { ca_file: /etc/prometheus/floodwall-ca.pem }
    # basic_auth: { username: prometheus, password_file: /etc/prometheus/floodwall.password }
";

/// Everything that monitoring needs, by the path in a folder: dashboards, provisioning, rules and their tests, a scrape.
#[must_use]
pub fn files() -> Vec<(String, String)> {
    let dashboards = DASHBOARDS
        .iter()
        .map(|board| (format!("grafana/dashboards/{}.json", board.uid), format!("{:#}\n", model(board))));
    let others = [
        ("grafana/provisioning/dashboards/floodwall.yml", PROVISIONING.to_owned()),
        ("grafana/provisioning/datasources/prometheus.yml", DATASOURCE.to_owned()),
        ("prometheus/scrape.yml", SCRAPE.to_owned()),
        ("prometheus/floodwall.rules.yml", alerts::rules()),
        ("prometheus/floodwall.test.yml", alerts::tests()),
    ];
    dashboards.chain(others.map(|(path, text)| (path.to_owned(), text))).collect()
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn model(board: &Dashboard) -> Value {
    json!({
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": ["floodwall"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": { "from": "now-1h", "to": "now" },
        "timezone": "browser",
        "templating": { "list": variables() },
        "annotations": { "list": annotations() },
        "links": [{
            "type": "dashboards", "title": "Floodwall", "tags": ["floodwall"], "asDropdown": true,
            "includeVars": true, "keepTime": true, "targetBlank": false, "icon": "", "tooltip": "", "url": "",
        }],
        "panels": panels(board),
    })
}

fn variables() -> Vec<Value> {
    let labels = |name: &str, label: &str, query: &str| {
        json!({
            "name": name, "label": label, "type": "query", "datasource": source(),
            "query": { "query": query, "refId": name }, "definition": query,
            "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
            "current": { "text": ["All"], "value": ["$__all"] },
        })
    };
    vec![
        json!({
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
            "refresh": 1, "includeAll": false, "multi": false,
        }),
        labels("job", "Job", "label_values(floodwall_build_info, job)"),
        labels("instance", "Host", "label_values(floodwall_build_info{job=~\"$job\"}, instance)"),
        labels(
            "service",
            "Service",
            "label_values(floodwall_syn_armed{job=~\"$job\",instance=~\"$instance\"}, service)",
        ),
    ]
}

/// What has to be seen on each graph: attacks, and changes of the configuration.
pub(super) const ANNOTATIONS: [(&str, &str, &str, &str); 2] = [
    (
        "Attacks",
        BAD,
        "max by (instance, vector, service) (floodwall_attack_active{%,service=~\"$service\"}) == 1",
        "{{vector}} on {{service}} ({{instance}})",
    ),
    (
        "Configuration",
        PLAIN,
        "1000 * max by (instance) (floodwall_config_last_reload_success_timestamp_seconds{%})",
        "configuration loaded ({{instance}})",
    ),
];

fn annotations() -> Vec<Value> {
    let of_prometheus = ANNOTATIONS.map(|(name, colour, expr, title)| {
        json!({
            "name": name, "datasource": source(), "enable": true, "iconColor": colour,
            "expr": Target { expr, legend: "" }.query(), "titleFormat": title, "textFormat": "", "tagKeys": "",
            "step": "30s", "useValueForTime": name == "Configuration",
        })
    });
    of_prometheus.to_vec()
}

/// Rows, and panels from left to right below them.
fn panels(board: &Dashboard) -> Vec<Value> {
    let (mut all, mut y) = (Vec::new(), 0);
    for (title, panels) in board.rows {
        let at = json!({ "x": 0, "y": y, "w": 24, "h": 1 });
        all.push(json!({ "id": all.len() + 1, "type": "row", "title": title, "collapsed": false, "gridPos": at, "panels": [] }));
        y += 1;
        let (mut x, mut tallest) = (0, 0);
        for panel in *panels {
            if x + panel.width > 24 {
                (x, y, tallest) = (0, y + tallest, 0);
            }
            let at = json!({ "x": x, "y": y, "w": panel.width, "h": panel.height() });
            all.push(one(all.len() + 1, panel, &at));
            x += panel.width;
            tallest = tallest.max(panel.height());
        }
        y += tallest;
    }
    all
}

fn one(id: usize, panel: &Panel, at: &Value) -> Value {
    let targets = panel.targets.iter().zip('A'..).map(|(target, letter)| {
        json!({
            "refId": letter.to_string(), "datasource": source(), "expr": target.query(),
            "legendFormat": target.legend, "editorMode": "code",
            "instant": matches!(panel.view, View::Stat(_)), "range": !matches!(panel.view, View::Stat(_)),
        })
    });
    let (kind, custom, options) = looks(panel);
    let mut defaults = json!({
        "unit": panel.unit,
        "thresholds": { "mode": "absolute", "steps": steps(panel) },
        "mappings": mappings(panel),
        "custom": custom,
        "color": { "mode": if kind == "timeseries" { "palette-classic" } else { "thresholds" } },
    });
    if !matches!(panel.view, View::Stat(_)) {
        defaults["min"] = json!(0);
    }
    json!({
        "id": id, "type": kind, "title": panel.title, "description": panel.description,
        "datasource": source(), "gridPos": at, "targets": targets.collect::<Vec<_>>(),
        "fieldConfig": { "defaults": defaults, "overrides": [] }, "options": options,
    })
}

/// Grafana's name of the view, its settings for fields, its options.
fn looks(panel: &Panel) -> (&'static str, Value, Value) {
    let legend = json!({ "displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": true });
    let lines = |stacked: bool| {
        let line = if panel.thresholds.is_empty() { "off" } else { "dashed" };
        json!({
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": if stacked { 40 } else { 8 }, "showPoints": "never",
            "stacking": { "mode": if stacked { "normal" } else { "none" }, "group": "A" },
            "thresholdsStyle": { "mode": line },
        })
    };
    let tooltip = json!({ "mode": "multi", "sort": "desc" });
    match panel.view {
        View::Stat(_) => (
            "stat",
            json!({}),
            json!({
                "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
                "colorMode": "background", "graphMode": "none", "textMode": "value", "justifyMode": "center",
            }),
        ),
        View::Lines => ("timeseries", lines(false), json!({ "legend": legend, "tooltip": tooltip })),
        View::Stacked => ("timeseries", lines(true), json!({ "legend": legend, "tooltip": tooltip })),
        View::States(_) => (
            "state-timeline",
            json!({ "lineWidth": 0, "fillOpacity": 80 }),
            json!({
                "mergeValues": true, "showValue": "never", "rowHeight": 0.8, "alignValue": "left",
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
                "tooltip": { "mode": "single", "sort": "none" },
            }),
        ),
    }
}

/// The colour below all thresholds.
fn base(panel: &Panel) -> &'static str {
    match (panel.thresholds, panel.view) {
        (_, View::States(_)) => OFF,
        ([], _) => PLAIN,
        _ => YES,
    }
}

fn steps(panel: &Panel) -> Vec<Value> {
    let named = match panel.view {
        View::Stat(named) | View::States(named) if panel.thresholds.is_empty() => named,
        _ => &[],
    };
    let named = named.iter().map(|(value, _, colour)| (*value, *colour));
    let above = panel.thresholds.iter().copied().chain(named);
    let first = json!({ "color": base(panel), "value": null });
    std::iter::once(first)
        .chain(above.map(|(value, color)| json!({ "color": color, "value": value })))
        .collect()
}

fn mappings(panel: &Panel) -> Vec<Value> {
    let (View::Stat(named) | View::States(named)) = panel.view else { return Vec::new() };
    let one = |(index, (value, text, color)): (usize, &(f64, &str, &str))| {
        let mut options = serde_json::Map::new();
        options.insert(format!("{value}"), json!({ "text": text, "color": color, "index": index }));
        json!({ "type": "value", "options": options })
    };
    named.iter().enumerate().map(one).collect()
}
