//! What Floodwall does, for people and for programs.
//!
//! - [`sample`]: one reading of the maps; the only part that knows the data path.
//! - [`metrics`]: a sample as Prometheus metrics, each declared once.
//! - [`dashboards`], [`alerts`]: Grafana's and Prometheus' files, made of these metrics.
//! - [`status`]: a sample as `floodwall status` shows it.
//! - [`threats`]: attacks, and which reasons and settings stand against them.

pub mod alerts;
pub mod dashboards;
pub mod metrics;
pub mod sample;
pub mod status;
pub mod threats;

pub use sample::Sample;
