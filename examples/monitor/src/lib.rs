//! A simulated client with an outage, the page of its metrics, and a Prometheus that reads the page.

pub mod client;
pub mod dashboard;
pub mod page;
pub mod prometheus;
pub mod questions;
