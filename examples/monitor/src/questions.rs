//! The four questions of an operator, as queries.

/// How often do we retry? In retries per operation.
pub const RETRIES: &str = "\
sum by (operation) (rate(retry_retries_total[5m]))
  / sum by (operation) (rate(retry_operations_total[5m]))";

/// What do we give up on? As shares of all operations.
pub const GIVE_UPS: &str = "\
sum by (operation, reason) (rate(retry_operations_total{outcome=\"gave_up\"}[5m]))
  / ignoring (reason) group_left sum by (operation) (rate(retry_operations_total[5m]))";

/// How long do callers wait? In seconds, for 99 of 100.
pub const WAITS: &str = "\
histogram_quantile(0.99, sum by (operation, le) (rate(retry_waited_seconds_bucket[5m])))";

/// How full is the budget? At its lowest, in retries, in the worst process.
pub const BUDGET: &str = "min by (budget) (min_over_time(retry_budget_available[5m]))";
