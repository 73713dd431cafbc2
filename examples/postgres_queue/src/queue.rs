//! The server, and the table as the show uses it.

use std::time::Duration;

use database_example::Cluster;
use retry_ext::{AsyncRetryExt, Backoff, RetryPolicy};
use tokio_postgres::{Client, Config, NoTls};
use workers_example::{Error, Queue, Rules};

use crate::worker::{LEASE, POLICY, TABLE};

/// A policy that waits long enough for a server on a busy machine.
const PATIENT: RetryPolicy = RetryPolicy::within(Duration::from_secs(60))
    .with_backoff(Backoff::constant(Duration::from_millis(10)))
    .with_logging(false);

/// Returns the settings to connect to a cluster on this port.
#[must_use]
pub fn config(port: u16) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user("postgres").dbname("postgres");
    config
}

/// Connects to the server.
///
/// # Errors
///
/// Returns an error if the server cannot be reached.
pub async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Starts a server with an empty table of jobs, and waits until it answers. Also returns the port.
///
/// # Errors
///
/// Returns an error if PostgreSQL is not installed, or does not start.
pub async fn start() -> Result<(Cluster, u16, Jobs), Error> {
    let mut cluster = Cluster::new()?;
    cluster.start()?;
    let port = cluster.config().get_ports()[0];
    let config = config(port);
    let connected = (async || connect(&config).await).retry_if(|_| true).retry_with(PATIENT).await;
    let client = connected.map_err(|error| format!("{error}: {}", cluster.log()))?;
    client.batch_execute(TABLE).await?;
    Ok((cluster, port, Jobs { client }))
}

/// The jobs, for the show and the tests.
#[derive(Debug)]
pub struct Jobs {
    client: Client,
}

impl Jobs {
    /// Returns the connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn names(&self, state: &str) -> Result<Vec<String>, Error> {
        let query = "select split_part(text, ' ', 1) from job where state = $1 order by id";
        let rows = self.client.query(query, &[&state]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

impl Queue for Jobs {
    const RULES: Rules = Rules { policy: POLICY, lease: LEASE };

    async fn add(&self, job: &str) -> Result<(), Error> {
        self.client.execute("insert into job (text) values ($1)", &[&job]).await?;
        Ok(())
    }

    async fn open(&self) -> Result<Vec<String>, Error> {
        self.names("open").await
    }

    async fn dead(&self) -> Result<Vec<String>, Error> {
        self.names("dead").await
    }
}
