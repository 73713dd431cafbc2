//! A simulated client with an outage, the page of its metrics, and a Prometheus that reads the page.

#[path = "../../fleet_support/chart.rs"]
mod chart;
pub mod client;
pub mod dashboard;
pub mod page;
pub mod prometheus;
pub mod questions;
